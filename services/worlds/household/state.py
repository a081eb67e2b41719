"""The household's state and its transitions. Pure: `act` returns the next state, or the same state and a refusal."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from services.worlds.household.actions import PHRASES, Action
from services.worlds.household.rules import Rules
from services.worlds.household.vocabulary import FLOOR_ROOM, KINDS, Kind

HAND = -1
"""The position of the held object."""


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """One object. ``at`` is its fixture's index (for a fixture, its own) or HAND. ``floor``: it lies before the
    fixture.

    ``slot`` is its own spot there, so objects never hide each other.
    """

    name: str
    at: int
    slot: int = 0
    floor: bool = False
    open: bool = False
    on: bool = False
    broken: bool = False
    sliced: bool = False

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """``things`` are the fixtures in their order along the wall, then the small objects. ``location`` is the index
    of the fixture at which the robot stands, or on which it sits if ``seated``."""

    things: tuple[Thing, ...]
    location: int
    seated: bool = False

    @property
    def fixtures(self) -> tuple[Thing, ...]:
        return tuple(thing for thing in self.things if thing.kind.fixed)

    @property
    def smalls(self) -> tuple[Thing, ...]:
        return tuple(thing for thing in self.things if not thing.kind.fixed)

    @property
    def held(self) -> Thing | None:
        return next((thing for thing in self.things if thing.at == HAND), None)

    def find(self, name: str) -> Thing | None:
        return next((thing for thing in self.things if thing.name == name), None)

    def near(self, thing: Thing) -> bool:
        return thing.at in (HAND, self.location)

    def container(self, thing: Thing) -> Thing | None:
        """Returns the closed fixture that holds the object, if any."""
        if thing.at == HAND or thing.floor or thing.kind.fixed:
            return None
        fixture = self.things[thing.at]
        return fixture if "contain" in fixture.kind.affordances and not fixture.open else None

    def in_view(self, thing: Thing, span: int = 1) -> bool:
        """Whether the picture shows the object: not in a closed fixture, and held or at most ``span`` fixtures away."""
        return self.container(thing) is None and (thing.at == HAND or abs(thing.at - self.location) <= span)

    def there(self, at: int, *, floor: bool = False) -> tuple[Thing, ...]:
        """Returns the small objects in or on fixture ``at``, or on the floor before it."""
        return tuple(t for t in self.things if t.at == at and t.floor == floor and not t.kind.fixed)

    def free_slot(self, at: int, *, floor: bool = False) -> int | None:
        """Returns the first free slot in or on fixture ``at``, or on the floor before it; None if it is full."""
        taken = {thing.slot for thing in self.there(at, floor=floor)}
        room = FLOOR_ROOM if floor else self.things[at].kind.room
        return next((slot for slot in range(room) if slot not in taken), None)

    def with_thing(self, changed: Thing) -> "State":
        return replace(self, things=tuple(changed if t.name == changed.name else t for t in self.things))


class _Refused(Exception):
    pass


def act(state: State, rules: Rules, action: Action) -> tuple[State, str | None]:
    """Returns the state after an action and None, or the unchanged state and the reason of the refusal."""
    thing = state.find(action.object)
    if thing is None:
        return state, f"there is no {action.object} here"
    try:
        if action.act == "put":
            return _put(state, rules, thing, action.target or ""), None
        return _ACTS[action.act](state, rules, thing), None
    except _Refused as refused:
        return state, str(refused)


def _able(thing: Thing, affordance: str, act: str) -> None:
    if affordance not in thing.kind.affordances:
        raise _Refused(f"you cannot {PHRASES[act]} the {thing.name}")


def _reach(state: State, rules: Rules, thing: Thing) -> State:
    """Returns the state with the robot at the object."""
    if state.near(thing):
        return state
    if rules.navigate_first:
        raise _Refused(f"the {thing.name} is not within reach")
    return replace(state, location=thing.at, seated=False)


def _uncovered(state: State, thing: Thing) -> None:
    if shut := state.container(thing):
        raise _Refused(f"the {shut.name} is closed")


def _to_floor(state: State, thing: Thing) -> State:
    slot = state.free_slot(state.location, floor=True)
    if slot is None:
        raise _Refused("there is no room on the floor here")
    return state.with_thing(replace(thing, at=state.location, slot=slot, floor=True))


def _find(state: State, rules: Rules, thing: Thing) -> State:
    return state if thing.at == HAND else replace(state, location=thing.at, seated=False)


def _pick(state: State, rules: Rules, thing: Thing) -> State:
    _able(thing, "pick", "pick")
    if held := state.held:
        raise _Refused(f"your hand is full: it holds the {held.name}")
    state = _reach(state, rules, thing)
    if thing.broken:
        raise _Refused(f"the {thing.name} is in pieces")
    if shut := state.container(thing):
        if rules.open_first:
            raise _Refused(f"the {shut.name} is closed")
        state = state.with_thing(replace(shut, open=True))
    return replace(state.with_thing(replace(thing, at=HAND, slot=0, floor=False)), seated=False)


def _put(state: State, rules: Rules, thing: Thing, target: str) -> State:
    place = state.find(target)
    if place is None:
        raise _Refused(f"there is no {target} here")
    if not place.kind.room:
        raise _Refused(f"you cannot put things on the {target}")
    if thing.at != HAND:
        raise _Refused(f"you do not hold the {thing.name}")
    state = _reach(state, rules, place)
    if "contain" in place.kind.affordances and not place.open:
        if rules.open_first:
            raise _Refused(f"the {target} is closed")
        state = state.with_thing(replace(place, open=True))
    slot = state.free_slot(place.at)
    if slot is None:
        raise _Refused(f"there is no room {place.kind.preposition} the {target}")
    return state.with_thing(replace(thing, at=place.at, slot=slot, floor=False))


def _drop(state: State, rules: Rules, thing: Thing) -> State:
    if thing.at != HAND:
        raise _Refused(f"you do not hold the {thing.name}")
    return _to_floor(state, thing)


def _set_open(wanted: bool) -> "_Act":
    def transition(state: State, rules: Rules, thing: Thing) -> State:
        _able(thing, "open", "open" if wanted else "close")
        state = _reach(state, rules, thing)
        _uncovered(state, thing)
        if thing.open == wanted:
            raise _Refused(f"the {thing.name} is already {'open' if wanted else 'closed'}")
        return state.with_thing(replace(thing, open=wanted))

    return transition


def _set_on(wanted: bool) -> "_Act":
    def transition(state: State, rules: Rules, thing: Thing) -> State:
        _able(thing, "toggle", "on" if wanted else "off")
        state = _reach(state, rules, thing)
        _uncovered(state, thing)
        if thing.on == wanted:
            raise _Refused(f"the {thing.name} is already {'on' if wanted else 'off'}")
        return state.with_thing(replace(thing, on=wanted))

    return transition


def _break(state: State, rules: Rules, thing: Thing) -> State:
    _able(thing, "break", "break")
    state = _reach(state, rules, thing)
    _uncovered(state, thing)
    if thing.broken:
        raise _Refused(f"the {thing.name} is already broken")
    if rules.hold_to_break and thing.at != HAND:
        raise _Refused(f"you do not hold the {thing.name}")
    broken = replace(thing, broken=True)
    return _to_floor(state, broken) if thing.at == HAND else state.with_thing(broken)


def _slice(state: State, rules: Rules, thing: Thing) -> State:
    _able(thing, "slice", "slice")
    state = _reach(state, rules, thing)
    _uncovered(state, thing)
    if thing.sliced:
        raise _Refused(f"the {thing.name} is already sliced")
    if rules.knife_to_slice and (state.held is None or state.held.name != "knife"):
        raise _Refused("you do not hold the knife")
    return state.with_thing(replace(thing, sliced=True))


def _sit(state: State, rules: Rules, thing: Thing) -> State:
    _able(thing, "sit", "sit")
    state = _reach(state, rules, thing)
    if state.seated:
        raise _Refused(f"you already sit on the {thing.name}")
    return replace(state, seated=True)


_Act = Callable[[State, Rules, Thing], State]
_ACTS: dict[str, _Act] = {
    "find": _find,
    "pick": _pick,
    "drop": _drop,
    "open": _set_open(True),
    "close": _set_open(False),
    "break": _break,
    "slice": _slice,
    "on": _set_on(True),
    "off": _set_on(False),
    "sit": _sit,
}
