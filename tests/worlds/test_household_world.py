"""The household keeps a world's contract: endings, errors, truth, options."""

import numpy as np
import pytest
from msgspec.structs import replace

from protocols.messages import Task
from services.worlds.household.options import Options, read_options
from services.worlds.household.rules import SOURCE_SHARES, UNKNOWN
from services.worlds.household.tasks import make_task
from services.worlds.household.world import Household
from services.worlds.world import World


def test_an_episode_goes_from_reset_to_done():
    world: World = Household()
    task, seen = world.reset(make_task("pick", "knife"), 3)
    assert task == make_task("pick", "knife")
    assert seen.frame.shape == world.third_person().shape == (128, 128, 3)
    assert seen.admissible == () and seen.error is None
    assert not world.truth().success
    for action in ("find knife", "pick up the knife"):
        seen, terminated, truncated = world.step(action)
        assert (terminated, truncated) == (False, False)
    assert world.truth().success
    assert "pick:knife" in world.truth().satisfied
    _, terminated, truncated = world.step("done")
    assert (terminated, truncated) == (True, False)


def test_success_never_ends_an_episode():
    for seed in range(40):
        world = Household(navigate_first=False, open_first=False, hold_to_break=False, max_steps=6)
        task, _ = world.reset(make_task("pick", "book"), seed)
        ends = [world.step(f"pick up {task.object}")[1:] for _ in range(6)]
        assert world.truth().success
        assert ends == [(False, False)] * 5 + [(False, True)]


def test_done_ends_an_episode_at_once_whether_or_not_the_goal_holds():
    world = Household()
    world.reset(None, 1)
    assert world.step(" Done ")[1:] == (True, False)
    assert not world.truth().success


def test_done_as_the_last_step_terminates_rather_than_truncates():
    world = Household(max_steps=1)
    world.reset(None, 1)
    assert world.step("done")[1:] == (True, False)


@pytest.mark.parametrize(
    "action", ["", "dance", "pick up", "find unicorn", "put apple", "open fridge in table", "\x00"]
)
def test_what_cannot_be_read_or_done_comes_back_as_an_error_and_changes_nothing(action):
    world = Household(frame=64)
    _, before = world.reset(None, 4)
    third, truth = world.third_person(), world.truth()
    seen, _, _ = world.step(action)
    assert seen.error
    np.testing.assert_array_equal(seen.frame, before.frame)
    np.testing.assert_array_equal(world.third_person(), third)
    assert world.truth() == truth


def test_errors_and_frames_do_not_depend_on_the_goal():
    actions = ("find apple", "open fridge", "open cabinet", "pick up knife", "find knife", "pick up knife", "done")

    def play(goal: Task) -> list[tuple[bytes, str | None]]:
        world = Household()
        world.reset(make_task("pick", "knife"), 3)
        assert world._episode is not None
        world._episode = replace(world._episode, task=goal)
        seen = [world.step(action)[0] for action in actions]
        return [(one.frame.tobytes(), one.error) for one in seen] + [(world.third_person().tobytes(), None)]

    assert play(make_task("pick", "knife")) == play(make_task("open", "cabinet")) == play(make_task("sit", "sofa"))


def test_the_truth_holds_for_the_task_as_its_words_say_whatever_its_id():
    world = Household()
    task, _ = world.reset(Task(id="t1", instruction="grab the knife", verb="pick", object="knife"), 3)
    assert (task.id, task.instruction) == ("pick:knife", "grab the knife")
    world.step("find knife"), world.step("pick up knife")
    assert world.truth().success


def test_stepping_before_reset_or_after_the_end_is_an_error():
    world = Household()
    with pytest.raises(RuntimeError, match="call reset first"):
        world.step("find apple")
    with pytest.raises(RuntimeError, match="call reset first"):
        world.third_person()
    world.reset(None, 0)
    world.step("done")
    with pytest.raises(RuntimeError, match="has ended"):
        world.step("find apple")
    assert world.third_person().shape == (128, 128, 3)
    world.close()
    with pytest.raises(RuntimeError, match="call reset first"):
        world.truth()


def test_admissible_actions_are_listed_on_request_and_are_the_same_for_every_goal():
    world = Household(admissible=True)
    one = world.reset(make_task("pick", "knife"), 5)[1].admissible
    assert "done" in one and "find knife" in one and "pick up knife" in one
    state = world._state
    assert state is not None
    assert all(f"find {thing.name}" in one for thing in state.things)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("shift", 1.5, "option 'shift' of the household is 1.5"),
        ("shift", "much", "option 'shift' of the household is 'much'"),
        ("domain", "mars", "option 'domain' of the household is 'mars'"),
        ("open_first", "maybe", "option 'open_first' of the household is 'maybe'"),
        ("n_fixtures", 1, "option 'n_fixtures' of the household is 1"),
        ("n_smalls", 100, "option 'n_smalls' of the household is 100"),
        ("frame", 8, "option 'frame' of the household is 8"),
        ("max_steps", 0, "option 'max_steps' of the household is 0"),
        ("colour", "red", "no option 'colour': its options are domain, shift"),
    ],
)
def test_a_bad_option_is_named_with_what_is_wrong(option, value, why):
    with pytest.raises(ValueError, match=why):
        Household(**{option: value})


def test_rules_can_be_set_or_left_to_chance():
    fixed = Options(open_first=False)
    assert {fixed.draw(seed).rules.open_first for seed in range(20)} == {False}
    assert {fixed.draw(seed).rules.navigate_first for seed in range(20)} == {True}
    drawn = [Options(knife_to_slice="random").draw(seed).rules for seed in range(1000)]
    assert sum(rules.knife_to_slice for rules in drawn) / 1000 == pytest.approx(
        SOURCE_SHARES["knife_to_slice"], abs=0.05
    )
    assert {rules.open_first for rules in drawn} == {UNKNOWN.open_first}


def test_options_that_are_about_looks_and_rules_leave_the_episodes_as_they_are():
    plain = [Options().draw(seed).state for seed in range(20)]
    assert [Options(shift=1, open_first=False, frame=64).draw(seed).state for seed in range(20)] == plain


def test_the_number_of_things_can_be_set():
    for fixtures, smalls in ((3, 2), (7, 10), (3, 10)):
        for seed in range(40):
            state = read_options({"n_fixtures": fixtures, "n_smalls": smalls}).draw(seed).state
            assert len(state.fixtures) == fixtures
            assert 1 <= len(state.smalls) <= smalls
            if fixtures == 7:
                assert len(state.smalls) >= 4


def test_each_domain_has_its_own_looks_unless_they_are_set():
    assert Options(domain="source").visual_shift == 0
    assert Options().visual_shift > 0
    assert Options(shift=0.8).visual_shift == 0.8
