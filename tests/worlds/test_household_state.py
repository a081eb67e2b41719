"""Whatever is done in whatever order, the household stays a household, and what it knows of itself is consistent."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.messages import Task
from services.worlds.household.actions import parse_action
from services.worlds.household.expert import possible_actions, random_action
from services.worlds.household.rules import Rules
from services.worlds.household.scramble import scramble
from services.worlds.household.state import HAND, State, act
from services.worlds.household.tasks import draw_episode, holds, make_task, satisfied
from services.worlds.household.vocabulary import FLOOR_ROOM, KINDS

quick = settings(max_examples=60)
rules = st.builds(Rules, *[], **{name: st.booleans() for name in Rules.__struct_fields__})
seeds = st.integers(0, 2**31)


def check(state: State) -> None:
    """What holds in every state."""
    fixtures = state.fixtures
    assert state.things[: len(fixtures)] == fixtures
    assert [thing.at for thing in fixtures] == list(range(len(fixtures)))
    assert 0 <= state.location < len(fixtures)
    assert len({thing.name for thing in state.things}) == len(state.things)
    held = [thing for thing in state.things if thing.at == HAND]
    assert len(held) <= 1
    assert not any(thing.broken or thing.floor for thing in held)
    places = [(thing.at, thing.floor, thing.slot) for thing in state.smalls]
    assert len(set(places)) == len(places)
    for thing in state.smalls:
        if thing.at != HAND:
            room = FLOOR_ROOM if thing.floor else fixtures[thing.at].kind.room
            assert 0 <= thing.slot < room
    if state.seated:
        assert "sit" in fixtures[state.location].kind.affordances
    for thing in state.things:
        can = thing.kind.affordances
        assert not thing.open or "open" in can
        assert not thing.on or "toggle" in can
        assert not thing.broken or "break" in can
        assert not thing.sliced or "slice" in can


@quick
@given(seed=seeds, rules=rules, scrambled=st.booleans())
def test_any_actions_keep_every_object_in_one_place_and_refusals_change_nothing(seed, rules, scrambled):
    rng = random.Random(seed)
    state = draw_episode(seed, n_fixtures=rng.randint(3, 7), n_smalls=rng.randint(2, 10)).state
    state = scramble(state, rng) if scrambled else state
    check(state)
    for _ in range(40):
        text = rng.choice(possible_actions(state)) if rng.random() < 0.8 else random_action(state, rng)
        action = parse_action(text)
        assert action is not None, text
        before, (state, error) = state, act(state, rules, action)
        assert (state is before) or error is None
        check(state)
        for old, new in zip(before.things, state.things, strict=True):
            assert old.name == new.name
            assert new.broken >= old.broken and new.sliced >= old.sliced


@quick
@given(seed=seeds)
def test_what_is_satisfied_is_what_holds_and_nothing_else(seed):
    state = scramble(draw_episode(seed).state, random.Random(seed))
    ids = satisfied(state)
    assert len(set(ids)) == len(ids)
    for task in every_task(state):
        assert holds(state, task) == (task.id in ids) == _goal(state, task)
    assert set(ids) <= {task.id for task in every_task(state)}


def every_task(state: State) -> list[Task]:
    tasks = []
    for thing in state.things:
        can = thing.kind.affordances
        verbs = ("pick", "break", "slice", "toggle", "sit", "open", "close")
        tasks += [make_task(verb, thing.name) for verb in verbs if ("open" if verb == "close" else verb) in can]
        if "pick" in can:
            tasks += [make_task("put", thing.name, place.name) for place in state.fixtures if place.kind.room]
    return tasks


def _goal(state: State, task: Task) -> bool:
    """The goals once more, said in another way."""
    thing = state.find(task.object)
    assert thing is not None
    match task.verb:
        case "pick":
            return state.held == thing
        case "put":
            return thing.at != HAND and not thing.floor and state.things[thing.at].name == task.target
        case "sit":
            return state.seated and state.things[state.location] == thing
        case "open":
            return thing.open
        case "close":
            return not thing.open
        case "break":
            return thing.broken
        case "slice":
            return thing.sliced
        case _:
            return thing.on


@quick
@given(text=st.text(max_size=40))
def test_any_text_is_an_action_or_none(text):
    action = parse_action(text)
    if action is not None:
        state = draw_episode(1).state
        after, error = act(state, Rules(), action)
        assert after is state or error is None


def test_every_kind_has_a_name_of_one_word_that_actions_can_say():
    for name in KINDS:
        assert parse_action(f"find {name}") is not None
