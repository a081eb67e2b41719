"""The profile: the paper's settings, checked before anything starts."""

import re

import pytest

from scripts.launch.plan import new_plan
from scripts.launch.preflight import problems
from scripts.selu import main
from tests.worlds.virtualhome.conftest import COMMAND

WITHOUT_MODEL = ("--set", "model.engine=scripted")


def test_the_profile_has_the_papers_settings() -> None:
    settings = new_plan("virtualhome").settings
    assert settings.world.name == "virtualhome" and settings.world.options["mode"] == "unity"
    assert (settings.simulator.quota, settings.simulator.max_steps, settings.run.rounds) == (1000, 10, 1)
    assert (settings.trainer.actor.learning_rate, settings.trainer.critic.learning_rate) == (2e-5, 2e-6)
    assert (settings.critic.self_ask, settings.relabeler.verbs, settings.trainer.relabels) == ("paper", "own", "all")
    assert settings.world.options["per_verb"] in (2, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "unity mode needs either 'player'"),
        (("world.options.player=/nowhere/linux_exec.x86_64",), "'player': .* cannot be run"),
        (("world.options.speed=3",), "no option 'speed'"),
        (("world.options.mode=graph",), None),
        ((f"world.options.player={COMMAND}",), None),
        (("world.options.connect=h:1,h:2,h:2,h:3",), r"names 3 players and simulator\.episodes \(4\) .* need 6"),
        (("world.options.connect=h:1,h:2,h:3", "evaluator.enabled=false", "simulator.quota=3"), None),
    ],
)
def test_a_dry_run_says_what_the_world_lacks(options: tuple[str, ...], says: str | None) -> None:
    plan = new_plan("virtualhome", overrides=["model.engine=scripted", *options])
    found = [problem for problem in problems(plan) if problem.startswith("world")]
    assert bool(found) == (says is not None)
    assert says is None or re.search(says, found[0])


def test_the_command_checks_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    graph = ("--set", "world.options.mode=graph")
    assert main(["up", "--profile", "virtualhome", "--dry-run", *graph, *WITHOUT_MODEL]) == 0
    assert 'name = "virtualhome"' in capsys.readouterr().out
    assert main(["up", "--profile", "virtualhome", "--dry-run", *WITHOUT_MODEL]) == 2
    assert "mode = 'graph' works without" in capsys.readouterr().err
