"""What the household's tests share: small rooms made by hand."""

from msgspec.structs import replace

from services.worlds.household.actions import parse_action
from services.worlds.household.rules import Rules
from services.worlds.household.state import HAND, State, Thing, act

LAX = Rules(navigate_first=False, open_first=False, hold_to_break=False, knife_to_slice=False)


def kitchen(*, location: int = 0, seated: bool = False, held: str | None = None, **changes: dict[str, object]) -> State:
    """A fridge with an apple and a mug in it, a table with a knife and a book, a sofa, a lamp; all in plain states.

    ``changes`` set fields of things by their names; ``held`` puts one of them in the hand.
    """
    things = [
        Thing(name="fridge", at=0),
        Thing(name="table", at=1),
        Thing(name="sofa", at=2),
        Thing(name="lamp", at=3),
        Thing(name="apple", at=0, slot=0),
        Thing(name="mug", at=0, slot=1),
        Thing(name="knife", at=1, slot=0),
        Thing(name="book", at=1, slot=1),
    ]
    things = [replace(thing, **changes.get(thing.name, {})) for thing in things]
    things = [replace(thing, at=HAND, slot=0, floor=False) if thing.name == held else thing for thing in things]
    return State(things=tuple(things), location=location, seated=seated)


def do(state: State, text: str, rules: Rules | None = None) -> tuple[State, str | None]:
    action = parse_action(text)
    assert action is not None, text
    return act(state, rules or Rules(), action)


def done(state: State, *texts: str, rules: Rules | None = None) -> State:
    """The state after actions none of which may be refused."""
    for text in texts:
        state, error = do(state, text, rules)
        assert error is None, f"{text}: {error}"
    return state


def the(state: State, name: str) -> Thing:
    thing = state.find(name)
    assert thing is not None
    return thing
