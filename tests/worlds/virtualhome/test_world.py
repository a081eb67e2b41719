"""VirtualHome's semantics through text actions, in graph mode and through the client with the stand-in player."""

from collections.abc import Generator

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from services.worlds.gym import WorldEnv
from services.worlds.virtualhome.tasks import make_task
from services.worlds.virtualhome.world import VirtualHome

FIXED = {"scenes": "0", "frame": 96, "arrange": False, "max_steps": 50}
PICK = make_task("pick", "apple")


@pytest.fixture(params=["graph", "unity"])
def world(request: pytest.FixtureRequest) -> Generator[VirtualHome]:
    options: dict[str, object] = {"mode": "graph"}
    if request.param == "unity":
        options = {"mode": "unity", "connect": request.getfixturevalue("running_player"), "call_seconds": 20.0}
    world = VirtualHome(**options, **FIXED)
    yield world
    world.close()


def play(world: VirtualHome, *actions: str) -> str | None:
    """The refusal of the last action; all before it must be carried out."""
    error = None
    for action in actions:
        assert error is None, f"before {action!r}: {error}"
        error = world.step(action)[0].error
    return error


def holds(world: VirtualHome, id: str) -> bool:
    return id in world.truth().satisfied


@pytest.mark.parametrize(
    ("actions", "goal"),
    [
        (("find fridge", "open fridge"), "open:fridge"),
        (("find fridge", "open fridge", "close fridge"), "close:fridge"),
        (("find mug", "pick up mug"), "pick:mug"),
        (("find fridge", "open fridge", "pick up apple"), "pick:apple"),
        (("find mug", "pick up mug", "find coffee table", "put mug on coffee table"), "put:mug:coffeetable"),
        (("find mug", "pick up mug", "find fridge", "open fridge", "put mug in fridge"), "put:mug:fridge"),
        (("find tv", "turn on tv"), "toggle:tv"),
        (("find sofa", "sit on sofa"), "sit:sofa"),
        (("find chair 3", "sit on chair 3"), "sit:chair"),
    ],
)
def test_a_goal_holds_when_its_actions_are_done_and_not_before(
    world: VirtualHome, actions: tuple[str, ...], goal: str
) -> None:
    world.reset(PICK, 1)
    for action in actions[:-1]:
        assert play(world, action) is None
    assert not holds(world, goal) or goal == "close:fridge"
    assert play(world, actions[-1]) is None
    assert holds(world, goal)


def test_what_was_done_can_be_undone(world: VirtualHome) -> None:
    world.reset(PICK, 1)
    assert play(world, "find tv", "turn on tv", "turn off tv", "find sofa", "sit on sofa", "stand up") is None
    assert not holds(world, "toggle:tv") and not holds(world, "sit:sofa")
    assert play(world, "sit on sofa", "stand up", "find waterglass", "pick up waterglass", "drink waterglass") is None
    assert play(world, "find book", "touch book") is None


def test_things_keep_to_the_room_they_were_carried_to(world: VirtualHome) -> None:
    world.reset(PICK, 1)
    assert play(world, "find mug", "pick up mug", "find desk", "put mug on desk", "find toilet", "find mug") is None
    admissible = world.step("find mug")[0].admissible
    assert "find computer" in admissible and "pick up mug" in admissible


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        (("pick up mug",), "not close to the mug"),
        (("find fridge", "open fridge", "open fridge"), "the fridge is not closed"),
        (("find fridge", "close fridge"), "the fridge is not open"),
        (("find apple", "pick up apple"), "inside other closed"),
        (("find mug", "pick up mug", "find fridge", "put mug in fridge"), "not open"),
        (("find fridge", "put mug in fridge"), "not holding the mug"),
        (("find mug", "pick up mug", "find fridge", "put mug on fridge"), "no surface"),
        (("find mug", "pick up mug", "find coffeetable", "put mug in coffeetable"), "no container"),
        (("find mug", "pick up mug", "find plate", "pick up plate", "find book", "pick up book"), "free hand"),
        (("find sofa", "sit on sofa", "find tv"), "you are sitting"),
        (("stand up",), "you are not sitting"),
        (("find tv", "sit on tv"), "not sittable"),
        (("find tv", "turn off tv"), "the tv is not on"),
        (("find sofa", "turn on sofa"), "does not have a switch"),
        (("find sofa", "open sofa"), "can not be opened"),
        (("find book", "drink book"), "not drinkable"),
        (("find unicorn",), "there is no unicorn here"),
        (("find mug", "pick up mug", "put mug on cloud"), "there is no cloud here"),
        (("dance",), "not an action"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_changes_nothing(
    world: VirtualHome, actions: tuple[str, ...], says: str
) -> None:
    world.reset(PICK, 1)
    assert play(world, *actions[:-1]) is None
    before = world.truth(), world.third_person()
    error = play(world, actions[-1])
    assert error is not None and says in error
    assert world.truth() == before[0]
    np.testing.assert_array_equal(world.third_person(), before[1])


def test_everything_listed_can_be_done(world: VirtualHome) -> None:
    for seed in range(3):
        _, seen = world.reset(PICK, seed)
        for turn in range(8):
            listed = seen.admissible[:-1]
            assert seen.admissible[-1] == "done" and len(set(listed)) == len(listed)
            action = listed[(7 * turn + seed) % len(listed)]
            seen, *_ = world.step(action)
            assert seen.error is None, action


def test_what_is_listed_does_not_depend_on_the_task(world: VirtualHome) -> None:
    lists = []
    for task in (PICK, make_task("sit", "sofa")):
        _, seen = world.reset(task, 4)
        lists.append(
            [seen.admissible, *(world.step(a)[0].admissible for a in ("find sofa", "sit on sofa", "stand up"))]
        )
    assert lists[0] == lists[1]


def test_an_episode_ends_by_done_or_the_limit_and_never_by_success(world: VirtualHome) -> None:
    world.reset(make_task("toggle", "tv"), 1)
    assert world.step("find tv")[1:] == (False, False)
    assert world.step("turn on tv")[1:] == (False, False)
    assert world.truth().success
    assert world.step("Done ")[1:] == (True, False)
    with pytest.raises(RuntimeError, match="has ended"):
        world.step("find sofa")


def test_the_first_person_shows_what_is_before_one_and_the_third_person_oneself(world: VirtualHome) -> None:
    world.reset(PICK, 1)
    play(world, "find fridge")
    closed, outside = world.step("find fridge")[0].frame, world.third_person()
    assert closed.shape == outside.shape == (96, 96, 3) and closed.dtype == np.uint8
    assert (closed != outside).any()
    opened = world.step("open fridge")[0].frame
    assert (closed != opened).mean() > 0.1
    play(world, "pick up apple")
    assert (world.third_person() != outside).any()


def test_both_ways_of_simulating_show_the_same_pictures_and_words(running_player: str) -> None:
    """Which proves the cameras' places and the order of their colours."""
    worlds = [VirtualHome(mode="graph", **FIXED), VirtualHome(mode="unity", connect=running_player, **FIXED)]
    actions = (
        "find fridge",
        "open fridge",
        "pick up apple",
        "find sofa",
        "put apple on sofa",
        "sit on sofa",
        "find tv",
    )
    try:
        for seed in range(2):
            begun = [world.reset(None, seed) for world in worlds]
            assert begun[0][0] == begun[1][0]
            for action in actions:
                (one, *_), (other, *_) = (world.step(action) for world in worlds)
                np.testing.assert_array_equal(one.frame, other.frame)
                assert (one.admissible, one.error) == (other.admissible, other.error)
                np.testing.assert_array_equal(worlds[0].third_person(), worlds[1].third_person())
            assert worlds[0].truth() == worlds[1].truth()
    finally:
        worlds[1].close()


def test_the_same_seed_gives_the_same_episode(world: VirtualHome) -> None:
    def play_through() -> list[bytes]:
        task, seen = world.reset(None, 7)
        frames = [task.id.encode(), seen.frame.tobytes()]
        acts = seen.admissible[:5]
        frames += [world.step(action)[0].frame.tobytes() for action in acts]
        return [*frames, world.third_person().tobytes()]

    assert play_through() == play_through()


def test_arrangements_differ_between_seeds_and_reach_the_player(running_player: str) -> None:
    states: dict[str, set[tuple[str, ...]]] = {}
    for mode in ("graph", "unity"):
        world = VirtualHome(mode=mode, connect=running_player if mode == "unity" else "", scenes="0", frame=32)
        try:
            for seed in range(4):
                world.reset(PICK, seed)
                found = tuple(id for id in world.truth().satisfied if id.split(":")[0] in ("open", "toggle"))
                states.setdefault(mode, set()).add(found)
        finally:
            world.close()
    assert states["graph"] == states["unity"] and len(states["graph"]) > 1


def test_steps_need_an_episode(world: VirtualHome) -> None:
    for call in (lambda: world.step("done"), world.third_person, world.truth):
        with pytest.raises(RuntimeError, match="call reset first"):
            call()


def test_gymnasiums_checker_finds_nothing(world: VirtualHome) -> None:
    check_env(WorldEnv(world), skip_render_check=True)
