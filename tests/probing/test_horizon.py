"""Compound tasks: how they are drawn, and what each mode makes of the actor's words."""

import json
from pathlib import Path

import pytest

from scripts.commands.probe import _newest_actor
from scripts.probing.bench import Bench, Moment
from scripts.probing.horizon import ALL_STEPS, GOAL_STEPS, MODES, RETRIES, Course, Mode, compound
from scripts.selu import main
from services.worlds.household.actions import DONE
from services.worlds.household.expert import expert_action
from services.worlds.household.options import Options
from services.worlds.household.tasks import satisfied
from tests.upkeep.folder import make_run

OPTIONS = Options(frame=32, max_steps=ALL_STEPS)


def starts(count: int = 30) -> list[Moment]:
    return Bench(None, OPTIONS, range(200_000_000, 200_000_000 + count)).starts  # type: ignore[arg-type]


def course(mode: Mode, count: int = 2) -> Course:
    moment = next(moment for moment in starts() if compound(moment, count))
    return Course(mode, 0, moment, compound(moment, count) or ())


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_goals_of_a_compound_task_can_be_reached_one_after_another_and_all_hold_in_the_end(count: int) -> None:
    drawn = [(moment, goals) for moment in starts() if (goals := compound(moment, count))]
    assert len(drawn) > 10
    for moment, goals in drawn:
        assert goals == compound(moment, count) and len({goal.id for goal in goals}) == count
        for goal in goals:
            assert goal.id not in satisfied(moment.state)
            while (action := expert_action(moment.state, moment.episode.rules, goal)) != DONE:
                moment = moment.after(action)
        assert {goal.id for goal in goals} <= {*satisfied(moment.state)}
        assert len(moment.history) <= ALL_STEPS


@pytest.mark.parametrize("count", [2, 4])
def test_every_goal_is_about_a_thing_that_an_earlier_one_is_about(count: int) -> None:
    for goals in filter(None, (compound(moment, count) for moment in starts())):
        known = {goals[0].object, goals[0].target} - {None}
        for goal in goals[1:]:
            assert known & {goal.object, goal.target}
            known |= {goal.object, goal.target} - {None}


def test_told_whole_the_first_done_ends_it() -> None:
    told = course("whole")
    (request,) = told.requests()
    assert all(goal.instruction in request.prompt for goal in told.goals)
    assert not told.wants_to_end("find fridge") and not told.over
    assert not told.wants_to_end(DONE) and told.over


def test_told_in_turn_a_done_brings_the_next_goal_with_a_fresh_history() -> None:
    told = course("in turn")
    first, second = told.goals
    told.wants_to_end("find fridge")
    assert first.instruction in told.requests()[0].prompt and "find fridge" in told.requests()[0].prompt
    told.wants_to_end(DONE)
    prompt = told.requests()[0].prompt
    assert second.instruction in prompt and "Done so far: nothing." in prompt and not told.over
    told.wants_to_end(DONE)
    assert told.over and told.steps == 3


def test_a_goal_has_so_many_actions_and_all_of_them_together_too() -> None:
    told = course("in turn")
    for _ in range(GOAL_STEPS):
        assert told.goal == told.goals[0]
        told.take("find fridge")
    assert told.goal == told.goals[1]
    whole = course("whole")
    for _ in range(ALL_STEPS):
        assert not whole.over
        whole.take("find fridge")
    assert whole.over


def test_a_done_that_the_answer_contradicts_is_another_action_so_many_times() -> None:
    told = course("in turn, asked")
    for _ in range(RETRIES):
        assert told.wants_to_end(DONE)
        told.answered(False)
        assert told.without == (DONE,) and len({request.seed for request in told.requests()}) == 8
        assert told.goal == told.goals[0] and not told.wants_to_end("find fridge") and told.without == ()
    assert not told.wants_to_end(DONE), "the actor's word counts at last"
    assert told.goal == told.goals[1]
    assert told.wants_to_end(DONE)
    told.answered(True)
    assert told.over


def test_the_probe_writes_every_mode_and_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["probe", "horizon", "--profile", "scripted", "--episodes", "3", "--out", str(tmp_path)]
    assert main([*argv, "--set", "world.options.frame=32"]) == 0
    figures = json.loads((tmp_path / "horizon.json").read_text())["figures"]["base"]
    assert figures.keys() == MODES.keys() and figures["whole"].keys() == {"1", "2", "3", "4", "5"}
    assert figures["in turn"]["1"]["n"] == 3 and "2 goals" in capsys.readouterr().out


def test_a_runs_newest_actor_is_the_one_that_stands_at_its_end(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run")
    found = _newest_actor(run)
    assert found is not None and found[0] == 3 and found[1].name.startswith("actor@3-")
