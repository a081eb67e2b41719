"""`selu up --model DIR`: the settings of a model's family over a profile's, and what the family lacks here."""

import json
from pathlib import Path

import pytest

from runtime.settings import load
from scripts.launch.plan import MODELS, new_plan
from scripts.selu import main
from services.models import needs
from services.settings import Settings
from tests.models.folders import sound_folder

KINDS = sorted(file.stem for file in MODELS.glob("*.toml"))


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What a dry run looks at of a model's folder."""
    folder = sound_folder(tmp_path / "some-model")
    (folder / "config.json").write_text(json.dumps({"model_type": request.param}))
    return folder


def test_every_family_that_is_known_has_settings_and_the_other_way_round() -> None:
    assert set(KINDS) == set(needs.FAMILIES)


@pytest.mark.parametrize("world", [("ai2thor",), ("virtualhome", "world.options.mode=graph"), ("household",)])
@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_a_dry_run_shows_the_papers_settings_for_each_family_in_each_world(
    model: Path,
    world: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(needs, "_installed", lambda name: True)
    profile, *options = world
    options = ["model.engine=openai", "model.url=http://127.0.0.1:1", *options]
    given = [part for option in options for part in ("--set", option)]
    arguments = ["up", "--profile", profile, "--model", str(model), "--run", str(tmp_path / "run"), "--dry-run", *given]
    assert main(arguments) == 0, capsys.readouterr().err
    (tmp_path / "shown.toml").write_text(capsys.readouterr().out)
    settings = load(Settings, file=tmp_path / "shown.toml")
    assert settings.world.name == profile and settings.model.path == str(model)
    assert (settings.simulator.quota, settings.simulator.max_steps, settings.run.rounds) == (1000, 10, 1)
    assert (settings.trainer.actor.learning_rate, settings.trainer.critic.learning_rate) == (2e-5, 2e-6)
    assert settings.trainer.actor.epochs == settings.trainer.critic.epochs == 1
    assert settings.model.max_model_len == 4096


@pytest.mark.parametrize("model", ["qwen2_vl"], indirect=True)
def test_what_is_given_by_hand_goes_over_the_familys_settings(model: Path) -> None:
    settings = new_plan("household", model=model, overrides=["trainer.actor.batch=3", "run.rounds=2"]).settings
    assert (settings.trainer.actor.batch, settings.trainer.critic.batch, settings.run.rounds) == (3, 16, 2)


@pytest.mark.parametrize("model", ["unheard_of", None, ["qwen2_vl"]], indirect=True)
def test_a_model_of_another_family_changes_nothing_but_the_path(model: Path) -> None:
    assert new_plan("ai2thor", model=model) == new_plan("ai2thor", overrides=[f"model.path={model}"])


def test_a_model_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "model.engine=transformers"]
    assert main(["up", "--model", str(tmp_path / "none"), "--dry-run", *given]) == 2
    assert f"no model folder at {tmp_path / 'none'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "engine", "installed", "found"),
    [
        ("llava_next", "vllm", {"torchvision"}, ["no LoRA adapters in vLLM 0.26.3: install vLLM 0.32"]),
        ("llava_next", "transformers", set(), []),
        ("qwen2_5_vl", "vllm", set(), ["Qwen2.5-VL in vllm needs the package torchvision: pip install"]),
        ("qwen2_5_vl", "vllm", {"torchvision"}, []),
        ("idefics3", "vllm", set(), []),
        ("smolvlm", "transformers", set(), ["needs the package num2words: pip install num2words"]),
        ("unheard_of", "vllm", set(), []),
    ],
    indirect=["model"],
)
def test_what_a_family_lacks_is_said_before_a_run(
    model: Path, engine: str, installed: set[str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "_vllm", lambda: "0.26.3")
    monkeypatch.setattr(needs, "_installed", lambda name: name in installed)
    said = [str(lack) for lack in needs.lacking(model, engine)]
    assert len(said) == len(found) and all(part in whole for part, whole in zip(found, said, strict=True))


@pytest.mark.parametrize("model", ["llava_next"], indirect=True)
def test_a_vllm_not_known_to_refuse_a_family_is_tried(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_vllm", lambda: "0.32.0")
    monkeypatch.setattr(needs, "_installed", lambda name: True)
    assert needs.lacking(model, "vllm") == []
