"""Draws arbitrary states of a room, so that source pictures show every state of every object."""

import random

from msgspec.structs import replace

from services.worlds.household.state import HAND, State


def scramble(state: State, rng: random.Random) -> State:
    """Returns the same objects in random states: open, on, broken, sliced, on the floor, in hand; robot seated."""
    state = replace(state, location=rng.randrange(len(state.fixtures)), seated=False)
    for thing in state.things:
        can = thing.kind.affordances
        thing = replace(
            thing,
            open="open" in can and rng.random() < 0.4,
            on="toggle" in can and rng.random() < 0.4,
            broken="break" in can and rng.random() < 0.3 and thing.at != HAND,
            sliced="slice" in can and rng.random() < 0.35,
        )
        if not thing.kind.fixed and not thing.floor and rng.random() < 0.12:
            slot = state.free_slot(thing.at, floor=True)
            thing = thing if slot is None else replace(thing, floor=True, slot=slot)
        state = state.with_thing(thing)
    whole = [thing for thing in state.smalls if not thing.broken and thing.at != HAND]
    if state.held is None and whole and rng.random() < 0.5:
        state = state.with_thing(replace(rng.choice(whole), at=HAND, slot=0, floor=False))
    seat = state.things[state.location].kind
    return replace(state, seated="sit" in seat.affordances and rng.random() < 0.5)
