"""The methods that ship: which settings each changes, and nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.settings import load
from scripts.launch.plan import METHODS, methods, new_plan
from scripts.selu import main
from services.settings import Settings

RELABELS_OFF = {"relabeler.enabled": False, "trainer.relabels": "off", "trainer.negatives": False}
HINDSIGHT_OFF = {**RELABELS_OFF, "critic.findings": False}
PLAIN = {"trainer.drop": 0.0, "trainer.prune": False, "trainer.rare": 1}
GATE_OFF = {"trainer.holdback": 0.0, "trainer.critic_margin": 1.0, "trainer.actor_margin": 1.0}
CHANGES: dict[str, dict[str, Any]] = {
    "base": {"run.rounds": 0},
    "sc": {"run.rounds": 0, "evaluator.samples": 5},
    "self-refine": {"run.rounds": 0, "evaluator.refine": 3},
    "lmsi": {
        "actor.samples": 5, "critic.samples": 5, "critic.self_ask": "off", "trainer.accept": "all", **RELABELS_OFF,
        **PLAIN, **GATE_OFF,
    },
    "selu": {},
    "selu-paper": {
        "critic.self_ask": "paper", "critic.asker": "critic", "relabeler.verbs": "own", "relabeler.trace": False,
        "relabeler.asker": "critic", "trainer.relabels": "all", "trainer.accept": "critic", "trainer.cut": False,
        "trainer.balance": False, "trainer.negatives": False, "trainer.replay": False, "critic.questions": 1,
        "critic.findings": False, **PLAIN, **GATE_OFF,
    },
    "selu-no-self-ask": {"critic.self_ask": "off"},
    "selu-no-hindsight": HINDSIGHT_OFF,
    "selu-no-relabels": RELABELS_OFF,
    "selu-no-findings": {"critic.findings": False},
    "selu-no-both": {"critic.self_ask": "off", **HINDSIGHT_OFF},
    "selu-one": {"trainer.shared": True},
    "selu-no-confirm": {"critic.self_ask": "paper"},
    "selu-no-agree": {"trainer.accept": "critic"},
    "selu-no-trace": {"relabeler.trace": False},
    "selu-no-cut": {"trainer.cut": False},
    "selu-no-balance": {"trainer.balance": False},
    "selu-no-negatives": {"trainer.negatives": False},
    "selu-no-replay": {"trainer.replay": False},
    "selu-no-cross-check": {"critic.questions": 1},
    "selu-no-drop": {"trainer.drop": 0.0},
    "selu-no-prune": {"trainer.prune": False},
    "selu-no-rare": {"trainer.rare": 1},
    "selu-no-gate": GATE_OFF,
    "selu-refine": {"simulator.refine": 3},
    "selu-own-verb": {"relabeler.verbs": "own"},
    "selu-hindsight-critic": {"trainer.relabels": "critic"},
    "selu-hindsight-pruned": {"trainer.relabels": "pruned"},
    "selu-hindsight-all": {"trainer.relabels": "all", "trainer.cut": False},
}  # fmt: skip
"""By method, every setting that it has otherwise than the defaults, or says again."""


def leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def flat(settings: Settings) -> dict[str, Any]:
    return dict(leaves(msgspec.to_builtins(settings)))


def test_every_method_is_in_the_table() -> None:
    assert methods().keys() == CHANGES.keys()


@pytest.mark.parametrize("method", sorted(CHANGES))
def test_a_method_changes_the_settings_it_is_about_and_no_other(method: str) -> None:
    defaults, changed = flat(Settings()), flat(load(Settings, file=methods()[method]))
    said = {key: value for key, value in CHANGES[method].items() if defaults[key] != value}
    assert {key: value for key, value in changed.items() if defaults[key] != value} == said


@pytest.mark.parametrize("method", sorted(CHANGES))
def test_a_methods_file_begins_with_a_line_that_says_what_it_is(method: str) -> None:
    first = (METHODS / f"{method}.toml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")


def test_a_method_goes_over_the_profile_and_under_what_is_set_by_hand(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[critic]\nself_ask = 'confirm'\nin_flight = 7\n")
    profile = str(tmp_path / "mine.toml")
    plan = new_plan(profile, method="selu-paper", overrides=["trainer.accept=agree"])
    assert (plan.settings.critic.self_ask, plan.settings.critic.in_flight) == ("paper", 7)
    assert plan.settings.trainer.accept == "agree"
    assert plan.profile == "mine-selu-paper" and plan.folder.name.endswith("-mine-selu-paper")


def test_a_method_may_be_a_file_and_one_that_there_is_not_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_text("[trainer]\nno_such = 1\n")
    up = ["up", "--profile", "scripted", "--dry-run", "--method"]
    assert main([*up, str(tmp_path / "own.toml")]) == 2
    assert "own.toml: there is no setting trainer.no_such" in capsys.readouterr().err
    assert main([*up, "selv"]) == 2
    assert "no method 'selv': give one of base, " in capsys.readouterr().err


def test_a_resumed_run_keeps_its_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--resume", str(tmp_path), "--method", "selu"]) == 2
    assert "leave --profile, --model and --method out" in capsys.readouterr().err


def test_one_adapter_for_both_roles_needs_one_rank(capsys: pytest.CaptureFixture[str]) -> None:
    up = ["up", "--profile", "scripted", "--method", "selu-one", "--dry-run", "--set", "trainer.actor.rank=32"]
    assert main(up) == 2
    assert "trainer.actor.rank is 32 and trainer.critic.rank 16" in capsys.readouterr().err
