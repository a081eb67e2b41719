"""Questions about one picture of the household, answered with the world's truth: the source domain's labels.

Questions that critic and relabeler ask use the exact words of their prompts.
"""

import random
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from services.critic import prompts as critic
from services.relabeler import prompts as relabeler
from services.worlds.household.state import HAND, State, Thing
from services.worlds.household.tasks import make_task
from services.worlds.household.vocabulary import FIXTURES, KINDS
from services.worlds.verbs import VERBS

View = Literal["third", "first"]
NOTHING, HIDDEN, IN_HAND, ON_FLOOR = "nothing", "hidden", "hand", "floor"
PLACES = [name for name, kind in FIXTURES.items() if kind.room]
FRONT = "What is in front of the robot?"
DESCRIBE = "Describe the picture."

STATES: dict[str, tuple[str, Callable[[Thing], bool]]] = {
    "open": ("open", lambda thing: thing.open),
    "close": ("open", lambda thing: not thing.open),
    "toggle": ("toggle", lambda thing: thing.on),
    "break": ("break", lambda thing: thing.broken),
    "slice": ("slice", lambda thing: thing.sliced),
}
"""For each verb that brings about a state: the affordance that an object needs for it, and a test of the state."""


class Question(NamedTuple):
    """``kind`` is the kind of question, for accuracies by kind."""

    kind: str
    prompt: str
    answer: str


class Picture(NamedTuple):
    """A state from one view. ``seen`` are the objects that the picture shows, nearest first."""

    state: State
    room: str
    view: View
    seen: tuple[Thing, ...]


def picture(state: State, room: str, view: View) -> Picture:
    """The first-person view shows the fixture in front of the robot; the third-person view its neighbours too."""
    seen = [thing for thing in state.things if state.in_view(thing, span=1 if view == "third" else 0)]
    seen.sort(key=lambda thing: 0 if thing.at == HAND else abs(thing.at - state.location))
    return Picture(state, room, view, tuple(seen))


def ask(about: Picture, rng: random.Random, count: int) -> Iterator[Question]:
    """At most `count` different questions; closed ones are answered yes about as often as no."""
    askers, shares = zip(*_SHARES, strict=True)
    asked: set[str] = set()
    for asker in rng.choices(askers, shares, k=count):
        question = asker(about, rng)
        if question is not None and question.prompt not in asked:
            asked.add(question.prompt)
            yield question


def ask_places(about: Picture, rng: random.Random, things: int) -> Iterator[Question]:
    """Questions whether an object is in or on a place: a yes and a no about each of at most `things` visible objects,
    and sometimes a no about another one, which is held, on the floor or not visible."""
    there = {
        thing.name: about.state.things[thing.at].name
        for thing in about.seen
        if not thing.kind.fixed and thing.at != HAND and not thing.floor
    }
    room = [fixture.name for fixture in about.state.fixtures if fixture.kind.room]
    for name in rng.sample(list(there), min(things, len(there))):
        yield _placed(name, there[name], True)
        others = [place for place in (room if rng.random() < 0.8 else PLACES) if place != there[name]]
        yield _placed(name, rng.choice(others), False)
    elsewhere = [thing.name for thing in about.state.smalls if thing.name not in there]
    if elsewhere and rng.random() < 0.2:
        yield _placed(rng.choice(elsewhere), rng.choice(room), False)


def _placed(name: str, place: str, true: bool) -> Question:
    prompt = f"Is the {name} {KINDS[place].preposition} the {place}?"
    return Question("is-placed", prompt, critic.YES if true else critic.NO)


def _state(about: Picture, rng: random.Random) -> Question | None:
    wanted = rng.random() < 0.7  # above one half, because some pictures show nothing open, on, broken or sliced
    fitting = [
        (thing, verb)
        for thing in about.seen
        for verb, (affordance, true) in STATES.items()
        if affordance in thing.kind.affordances and true(thing) == wanted and (verb != "close" or rng.random() < 0.2)
    ]
    if not fitting:
        return None
    thing, verb = rng.choice(fitting)
    return _closed(thing.name, verb, wanted)


def _absent(about: Picture, rng: random.Random) -> Question | None:
    """A closed question about an object that is not visible; the answer is no."""
    seen = {thing.name for thing in about.seen}
    verb = rng.choice([verb for verb in STATES if verb != "close"])
    names = [name for name, kind in KINDS.items() if STATES[verb][0] in kind.affordances and name not in seen]
    return _closed(rng.choice(names), verb, False) if names else None


def _closed(name: str, verb: str, true: bool) -> Question:
    prompt, _ = critic.self_ask(make_task(verb, name))
    return Question(f"is-{VERBS[verb].state}", prompt, critic.YES if true else critic.NO)


def _which(about: Picture, rng: random.Random) -> Question:
    verb = rng.choices(tuple(STATES), (4, 1, 4, 4, 4))[0]
    affordance, true = STATES[verb]
    names = (thing.name for thing in about.seen if affordance in thing.kind.affordances and true(thing))
    return Question(f"which-{VERBS[verb].state}", relabeler.which_object(verb), next(names, NOTHING))


def _holding(about: Picture, rng: random.Random) -> Question:
    held = about.state.held
    return Question("holding", relabeler.which_object("pick"), held.name if held else NOTHING)


def _sitting(about: Picture, rng: random.Random) -> Question:
    seat = about.state.things[about.state.location].name if about.state.seated else NOTHING
    return Question("sitting", relabeler.which_object("sit"), seat)


def _where(about: Picture, rng: random.Random) -> Question:
    smalls = [thing for thing in about.seen if not thing.kind.fixed]
    if smalls and rng.random() < 0.85:
        thing = rng.choice(smalls)
        fixture = about.state.things[thing.at].name if thing.at != HAND else IN_HAND
        return Question("where", relabeler.which_object("put", thing.name), ON_FLOOR if thing.floor else fixture)
    seen = {thing.name for thing in about.seen}
    hidden = [name for name in KINDS if name not in FIXTURES and name not in seen]
    present = [thing.name for thing in about.state.smalls if thing.name not in seen]
    name = rng.choice(present if present and rng.random() < 0.5 else hidden)
    return Question("where", relabeler.which_object("put", name), HIDDEN)


def _front(about: Picture, rng: random.Random) -> Question:
    return Question("front", FRONT, about.state.things[about.state.location].name)


def _there(about: Picture, rng: random.Random) -> Question:
    seen = {thing.name for thing in about.seen}
    yes = rng.random() < 0.5
    name = rng.choice([name for name in KINDS if (name in seen) == yes])
    return Question("there", f"Is there a {name}?", critic.YES if yes else critic.NO)


def _describe(about: Picture, rng: random.Random) -> Question:
    held = about.state.held
    things = ", ".join(_noun(thing) for thing in about.seen[:6] if thing.at != HAND)
    return Question(
        "caption", DESCRIBE, f"a {about.room} with {things}. the robot holds {held.name if held else NOTHING}"
    )


def _noun(thing: Thing) -> str:
    states = (("open", thing.open), ("lit", thing.on), ("broken", thing.broken), ("sliced", thing.sliced))
    return " ".join([*(word for word, true in states if true), thing.name])


_SHARES: tuple[tuple[Callable[[Picture, random.Random], Question | None], float], ...] = (
    (_state, 0.36),
    (_absent, 0.03),
    (_which, 0.15),
    (_holding, 0.13),
    (_sitting, 0.06),
    (_where, 0.16),
    (_front, 0.03),
    (_there, 0.04),
    (_describe, 0.04),
)
