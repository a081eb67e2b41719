"""Episodes in AI2-THOR: each verb from instruction to truth, refusals in words, the same seed the same episode."""

import numpy as np
import pytest

from protocols.messages import Task
from services.worlds.ai2thor.actions import parse_action
from services.worlds.ai2thor.names import by_name, readable, words
from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.tasks import GOALS, make_task, task_id
from services.worlds.verbs import VERBS
from tests.worlds.ai2thor.conftest import Start

PLANS = {
    "pick:apple": ("find apple", "pick up the apple"),
    "put:mug:counter top": ("find mug", "pick up mug", "find counter top", "put mug on counter top"),
    "put:apple:fridge": ("find apple", "pick up apple", "find fridge", "open fridge", "put the apple into the fridge"),
    "open:fridge": ("find fridge", "open fridge"),
    "close:fridge": ("find fridge", "open fridge", "close fridge"),
    "break:plate": ("find plate", "break plate"),
    "break:egg": ("find egg", "break egg"),
    "slice:tomato": ("find tomato", "slice tomato"),
    "toggle:coffee machine": ("find coffee machine", "turn on coffee machine"),
    "fill:bowl": ("find bowl", "fill bowl"),
    "empty:bowl": ("find bowl", "fill bowl with coffee", "empty bowl"),
    "dirty:plate": ("find plate", "dirty plate"),
    "clean:plate": ("find plate", "dirty plate", "clean plate"),
    "cook:potato": ("find potato", "cook potato"),
    "use:soap bottle": ("find soap bottle", "use up soap bottle"),
}


def task(id: str) -> Task:
    verb, object, *target = id.split(":")
    return Task(id=id, instruction=f"{verb} {object}", verb=verb, object=object, target=target[0] if target else None)


def play(one: Simulator, *actions: str) -> list[str | None]:
    """What was said to each action, opening what a thing is shut away in where it must be."""
    return [one.step(action)[0].error for action in actions]


def unlock(one: Simulator, name: str) -> None:
    """Opens whatever holds a thing, which is a scene's own business and no test's."""
    for thing in by_name(one.player.things)[name]:
        for holder in thing["parentReceptacles"] or ():
            if (found := one.player.thing(holder)) and found["openable"] and not found["isOpen"]:
                same = by_name(one.player.things)[words(found["objectType"])]
                name = words(found["objectType"]) + (f" {same.index(found) + 1}" if len(same) > 1 else "")
                assert play(one, f"find {name}", f"open {name}") == [None, None]


@pytest.mark.parametrize("id", PLANS)
def test_every_verb_is_carried_out_and_known_to_be(shared: Simulator, id: str) -> None:
    wanted = task(id)
    given, _ = shared.reset(wanted, 11)
    assert given == wanted
    assert wanted.verb in {*GOALS, "put"}
    if wanted.object != "fridge":
        unlock(shared, wanted.object)
    before = wanted.verb in ("close", "clean", "empty")
    assert shared.truth().success == before
    *most, last = PLANS[id]
    assert play(shared, *most) == [None] * len(most)
    assert not shared.truth().success
    assert parse_action(last) in [parse_action(act) for act in shared.step("wait")[0].admissible]
    seen, terminated, truncated = shared.step(last)
    assert (seen.error, terminated, truncated) == (None, False, False)
    assert shared.truth().success
    assert wanted.id in shared.truth().satisfied
    assert shared.step("done")[1:] == (True, False)


def test_what_is_done_is_undone_again(shared: Simulator) -> None:
    shared.reset(task("open:fridge"), 4)
    assert play(shared, "find fridge", "open fridge", "close fridge") == [None] * 3
    assert "close:fridge" in shared.truth().satisfied
    assert play(shared, "find faucet", "turn on faucet", "turn off faucet") == [None] * 3
    assert "toggle:faucet" not in shared.truth().satisfied
    unlock(shared, "apple")
    assert play(shared, "find apple", "pick up apple", "drop apple") == [None] * 3
    assert "pick:apple" not in shared.truth().satisfied


def test_refusals_are_words_and_change_nothing(shared: Simulator) -> None:
    _, first = shared.reset(task("pick:apple"), 4)
    truth = shared.truth()
    errors = play(shared, "jump", "find unicorn", "put apple in fridge", "drop apple", "break fridge", "pick up mug 9")
    assert errors[0] is not None
    assert errors[0].startswith("not an action: say find, pick up, ")
    assert errors[1] == "there is no unicorn here"
    assert errors[2] == errors[3] == "the apple is not in the hand"
    assert errors[4] is not None
    assert "|" not in errors[4]
    assert errors[5] == "there is no mug 9 here"
    assert shared.truth() == truth
    assert np.array_equal(shared.step("fly")[0].frame, first.frame)


def test_what_the_player_does_not_know_is_a_refusal_and_no_failure(shared: Simulator) -> None:
    from services.worlds.ai2thor.player import Refusal

    shared.reset(None, 1)
    with pytest.raises(Refusal, match="LevitateObject is no action of this player"):
        shared.player.do("LevitateObject")
    with pytest.raises(Refusal, match="needs an objectId"):
        shared.player.do("OpenObject")
    assert shared.step("find fridge")[0].error is None or shared.step("done")[1]


def test_a_seed_gives_the_same_episode_and_another_one_another(shared: Simulator) -> None:
    def episode(seed: int) -> tuple[Task, bytes, tuple[str, ...]]:
        given, seen = shared.reset(None, seed)
        return given, seen.frame.tobytes(), seen.admissible

    first = [episode(seed) for seed in range(6)]
    assert [episode(seed) for seed in range(6)] == first
    assert len({frame for _, frame, _ in first}) == 6
    assert len({given.id for given, _, _ in first}) > 3


def test_what_is_set_of_the_views_reaches_the_player(start: Start) -> None:
    narrow = start(fov=50.0, visibility=6.0, width=160, height=96, start="scene")
    plain = start(start="scene")
    (_, near), (_, wide) = narrow.reset(task("open:fridge"), 1), plain.reset(task("open:fridge"), 1)
    assert near.frame.shape == narrow.third_person().shape == (96, 160, 3)
    assert not np.array_equal(near.frame[:, 32:128], wide.frame)
    seen = [{one["objectId"] for one in world.player.things if one["visible"]} for world in (narrow, plain)]
    assert seen[0] - seen[1], "what is farther off than the others' reach"


def test_nothing_but_done_and_the_limit_ends_an_episode(start: Start) -> None:
    one = start(max_steps=3)
    one.reset(task("open:fridge"), 0)
    assert [one.step(action)[1:] for action in ("find fridge", "open fridge", "dance")] == [
        (False, False), (False, False), (False, True),
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="call reset"):
        one.step("done")
    assert one.truth().success


def test_a_task_that_no_scene_offers_is_refused_and_the_player_lives_on(start: Start) -> None:
    one = start()
    with pytest.raises(ValueError, match="'open:submarine' cannot be done in any of FloorPlan1"):
        one.reset(task("open:submarine"), 0)
    with pytest.raises(RuntimeError, match="call reset"):
        one.step("find fridge")
    assert one.reset(None, 0)[1].error is None


def test_a_walk_brings_the_agent_there_where_no_pose_can_be_asked_for(shared: Simulator) -> None:
    player = shared.player
    ask = player.ask

    def mute(action: str, **arguments: object) -> object:
        return [] if action == "GetInteractablePoses" else ask(action, **arguments)

    player.ask = mute  # type: ignore[method-assign]
    try:
        for seed, name in ((1, "fridge"), (2, "sink basin"), (3, "garbage can")):
            shared.reset(task(f"put:apple:{name}"), seed)
            assert play(shared, f"find {name}") == [None]
            assert any(words(thing["objectType"]) == name and thing["visible"] for thing in player.things)
    finally:
        player.ask = ask  # type: ignore[method-assign]


def test_things_shut_away_are_looked_for_at_what_holds_them(shared: Simulator) -> None:
    for seed in range(40):
        shared.reset(task("pick:apple"), seed)
        thing = next(one for one in shared.player.things if one["objectType"] == "Apple")
        holder = shared.player.thing(thing["parentReceptacles"][0])
        if holder and holder["openable"]:
            assert play(shared, "find apple") == [None]
            kind = words(holder["objectType"])
            assert f"open {kind}" in shared.step("wait")[0].admissible
            assert "pick up apple" not in shared.step("wait")[0].admissible
            return
    pytest.fail("no scene has an apple shut away")


def test_of_several_the_one_that_suits_and_is_near_is_meant_unless_a_number_says_which(shared: Simulator) -> None:
    shared.reset(task("toggle:toaster"), 2)
    cabinets = sorted(one["objectId"] for one in shared.player.things if one["objectType"] == "Cabinet")
    assert len(cabinets) == 2
    for number in (1, 2):
        assert play(shared, f"find cabinet {number}", "open cabinet") == [None, None]
        opened = shared.player.thing(cabinets[number - 1])
        assert opened is not None
        assert opened["isOpen"]
    assert play(shared, "close cabinet 2") == [None]


def test_admissible_acts_follow_flags_and_not_the_goal(shared: Simulator) -> None:
    lists = []
    for id in ("open:fridge", "pick:apple"):
        shared.reset(task(id), 8)
        lists.append(shared.step("find fridge")[0].admissible)
    assert lists[0] == lists[1]
    assert {"find fridge", "open fridge", "done"} <= set(lists[0])
    assert "close fridge" not in lists[0]
    after = shared.step("open fridge")[0].admissible
    assert "close fridge" in after
    assert "open fridge" not in after
    unlock(shared, "apple")
    shared.step("find apple")
    assert "pick up apple" in shared.step("wait")[0].admissible
    held = shared.step("pick up apple")[0].admissible
    assert "drop apple" in held
    assert not [act for act in held if act.startswith("pick up")]
    assert "put apple in fridge" in shared.step("find fridge")[0].admissible


def test_types_and_messages_are_read_as_words() -> None:
    assert [words(type) for type in ("CoffeeMachine", "AppleSliced", "EggCracked", "TVStand", "Mug")] == [
        "coffee machine", "sliced apple", "cracked egg", "tv stand", "mug",
    ]  # fmt: skip
    said = "Apple|-00.47|+01.15|+00.48 is not in Fridge|-02.10|+00.00|+01.07|2"
    assert readable(said) == "apple is not in fridge"


def test_every_verb_of_its_tasks_has_its_words_and_ids() -> None:
    assert {*GOALS, "put"} <= set(VERBS)
    mug = {"objectType": "Mug", "openable": False}
    assert make_task("fill", mug).instruction == "fill the mug"
    fridge = {"objectType": "Fridge", "openable": True}
    assert make_task("put", mug, fridge).instruction == "put the mug in the fridge"
    assert task_id("put", "mug", "fridge") == "put:mug:fridge"
