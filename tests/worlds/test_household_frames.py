"""Frames: the same for the same seed anywhere, different wherever the state is, whole at any size."""

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
from msgspec.structs import replace

from services.worlds.household.actions import parse_action
from services.worlds.household.art.food import FOOD
from services.worlds.household.art.furniture import FURNITURE
from services.worlds.household.art.storage import STORAGE
from services.worlds.household.art.things import THINGS
from services.worlds.household.expert import possible_actions
from services.worlds.household.look import draw_look
from services.worlds.household.rules import Rules
from services.worlds.household.scene import Scene, make_scene
from services.worlds.household.scramble import scramble
from services.worlds.household.state import HAND, State, Thing, act
from services.worlds.household.tasks import draw_episode
from services.worlds.household.vocabulary import FIXTURES, FLOOR_ROOM, KINDS, SMALLS
from services.worlds.world import Frame

SHIFTS = (0.0, 0.45, 1.0)


def room(*things: Thing, location: int = 1, seated: bool = False) -> State:
    """A lamp, whatever fixture the first thing is (a table unless it is one), a fan, and the things."""
    middle = things[:1] if things and things[0].kind.fixed else (Thing(name="table", at=1),)
    others = things[1:] if things and things[0].kind.fixed else things
    fixtures = (Thing(name="lamp", at=0), *middle, Thing(name="fan", at=2))
    return State(things=(*fixtures, *others), location=location, seated=seated)


def scene(state: State, shift: float = 0.45, size: int = 128, seed: int = 3) -> Scene:
    names = tuple(thing.name for thing in state.things)
    look = draw_look(seed, "unknown", shift, tuple(KINDS), "kitchen")
    return Scene(look, names[: len(state.fixtures)], "kitchen", size)


def changed(before: Frame, after: Frame) -> int:
    """How many pixels differ clearly."""
    return int((np.abs(before.astype(int) - after).max(axis=2) > 32).sum())


def both(scene: Scene, state: State) -> tuple[Frame, Frame]:
    return scene.first_person(state), scene.third_person(state)


def assert_visible(before: State, after: State, first: int = 60, third: int = 16) -> None:
    """The change shows in both views, however the household looks, by at least so many pixels of 16384."""
    for shift in SHIFTS:
        drawn = scene(before, shift)
        one, other = both(drawn, before), both(drawn, after)
        assert changed(one[0], other[0]) >= first, f"first person, shift {shift}"
        assert changed(one[1], other[1]) >= third, f"third person, shift {shift}"


STATES = [
    (name, field)
    for name, kind in KINDS.items()
    for affordance, field in (("open", "open"), ("toggle", "on"), ("break", "broken"), ("slice", "sliced"))
    if affordance in kind.affordances
]


@pytest.mark.parametrize(("name", "field"), STATES)
def test_every_state_of_every_object_shows_in_both_views(name, field):
    plain = Thing(name=name, at=1)
    changed_ = replace(plain, **{field: True})
    assert_visible(room(plain), room(changed_))
    if not KINDS[name].fixed:
        assert_visible(room(replace(plain, floor=True)), room(replace(changed_, floor=True)))
        if field != "broken":
            assert_visible(room(replace(plain, at=HAND)), room(replace(changed_, at=HAND)))


@pytest.mark.parametrize("name", list(SMALLS))
def test_everything_shows_wherever_it_is(name):
    empty = room()
    for slot in range(FIXTURES["table"].room):
        assert_visible(empty, room(Thing(name=name, at=1, slot=slot)))
    for slot in range(FLOOR_ROOM):
        assert_visible(empty, room(Thing(name=name, at=1, slot=slot, floor=True)))
    assert_visible(empty, room(Thing(name=name, at=HAND)))


@pytest.mark.parametrize("name", [name for name, kind in FIXTURES.items() if kind.room])
def test_every_slot_of_every_fixture_shows_what_is_there_unless_it_is_shut(name):
    can = FIXTURES[name].affordances
    fixture = Thing(name=name, at=1, open="open" in can)
    for slot in range(FIXTURES[name].room):
        inside = Thing(name="apple", at=1, slot=slot)
        assert_visible(room(fixture), room(fixture, inside))
        if "contain" in can:
            shut = replace(fixture, open=False)
            drawn = scene(room(shut))
            for one, other in zip(both(drawn, room(shut)), both(drawn, room(shut, inside)), strict=True):
                assert changed(one, other) == 0


def test_a_full_place_shows_each_of_its_things():
    for name, kind in FIXTURES.items():
        if not kind.room:
            continue
        fixture = Thing(name=name, at=1, open="open" in kind.affordances)
        things = [Thing(name=small, at=1, slot=i) for i, small in enumerate(list(SMALLS)[: kind.room])]
        floor = [Thing(name=small, at=1, slot=i, floor=True) for i, small in enumerate(list(SMALLS)[-FLOOR_ROOM:])]
        full = room(fixture, *things)
        for thing in things:
            assert_visible(full, room(fixture, *(other for other in things if other != thing)), first=40, third=10)
        full = room(fixture, *floor)
        for thing in floor:
            assert_visible(full, room(fixture, *(other for other in floor if other != thing)), first=40, third=10)


@pytest.mark.parametrize("name", [name for name, kind in FIXTURES.items() if "sit" in kind.affordances])
def test_sitting_shows_in_both_views(name):
    seat = Thing(name=name, at=1)
    assert_visible(room(seat), room(seat, seated=True), first=1500, third=300)


def test_standing_elsewhere_shows_other_things():
    assert_visible(room(), room(location=0), first=1000, third=400)


def test_what_stands_beside_shows_in_the_third_person_view():
    dark = room(Thing(name="sofa", at=1))
    lit = dark.with_thing(Thing(name="lamp", at=0, on=True))
    for shift in SHIFTS:
        drawn = scene(dark, shift)
        assert changed(drawn.third_person(dark), drawn.third_person(lit)) > 100


def test_all_things_look_different_from_each_other():
    drawn = scene(room())
    for names, at in ((SMALLS, HAND), (SMALLS, 1)):
        frames = {name: both(drawn, room(Thing(name=name, at=at))) for name in names}
        for name, views in frames.items():
            for other, others in frames.items():
                if name < other:
                    assert changed(views[0], others[0]) > 60, (name, other)
                    assert changed(views[1], others[1]) > 12, (name, other)


def test_everything_in_the_vocabulary_has_its_picture():
    assert set(STORAGE) | set(FURNITURE) == set(FIXTURES)
    assert set(FOOD) | set(THINGS) == set(SMALLS)


def test_a_frame_does_not_depend_on_what_was_drawn_before_it():
    for seed in range(6):
        episode, rng = draw_episode(seed), random.Random(seed)
        state, kept = episode.state, make_scene(episode, 0.45)
        for _ in range(15):
            action = parse_action(rng.choice(possible_actions(state)))
            assert action is not None
            state, _ = act(state, Rules(), action)
            views = both(kept, state)
            for one, other in zip(views, both(make_scene(episode, 0.45), state), strict=True):
                np.testing.assert_array_equal(one, other)


def test_seeds_and_domains_and_shifts_look_different():
    looks = [
        draw_look(seed, domain, shift, ("apple", "fridge"), "kitchen")
        for seed in (1, 2)
        for domain in ("source", "unknown")
        for shift in (0.0, 0.45)
    ]
    assert len({(look.wall, look.floor, look.stretch, look.colors["apple"]) for look in looks}) == len(looks)


DIGEST = """
import hashlib
from services.worlds.household.world import Household
digest = hashlib.sha256()
for domain in ("source", "unknown"):
    world = Household(domain=domain)
    for seed in range(6):
        task, seen = world.reset(None, seed)
        digest.update(task.id.encode() + seen.frame.tobytes() + world.third_person().tobytes())
        for action in (f"find {task.object}", f"pick up {task.object}", f"open {task.object}", f"sit on {task.object}"):
            seen, _, _ = world.step(action)
            digest.update(seen.frame.tobytes() + world.third_person().tobytes())
print(digest.hexdigest())
"""


def test_the_same_seeds_give_the_same_frames_in_every_process():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


@pytest.mark.parametrize("size", [32, 64, 100, 128, 224, 300, 640])
def test_frames_have_the_size_asked_for_and_show_the_same_at_any(size):
    episode = draw_episode(5)
    state = scramble(episode.state, random.Random(5))
    drawn = make_scene(episode, 0.0, size)
    reference = make_scene(episode, 0.0, 128)
    for frame, other in zip(both(drawn, state), both(reference, state), strict=True):
        assert frame.shape == (size, size, 3)
        assert frame.dtype == np.uint8
        small, like = _shrunk(frame), _shrunk(other)
        assert np.abs(small - like).mean() < 12


def _shrunk(frame: Frame) -> np.ndarray:
    """16 x 16 means."""
    edges = np.linspace(0, len(frame), 17).astype(int)
    rows = np.add.reduceat(frame.astype(float), edges[:-1], axis=0) / np.diff(edges)[:, None, None]
    return np.add.reduceat(rows, edges[:-1], axis=1) / np.diff(edges)[None, :, None]


def test_frames_are_the_callers_to_keep():
    state = room()
    drawn = scene(state)
    first = drawn.first_person(state)
    copy = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(drawn.first_person(state), copy)
