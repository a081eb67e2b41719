"""Tasks, goal checks, and episodes drawn from seeds."""

import random
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from protocols.messages import Task
from services.worlds.household import rules as rules_
from services.worlds.household.rules import Rules, draw_rules
from services.worlds.household.state import HAND, State, Thing
from services.worlds.household.vocabulary import FIXTURES, KINDS, ROOMS, Room
from services.worlds.spelling import did_you_mean, spelled
from services.worlds.verbs import VERBS

Domain = Literal["source", "unknown"]

VERB_SHARES = {"pick": 0.20, "open": 0.12, "put": 0.20, "break": 0.18, "slice": 0.15, "toggle": 0.10, "sit": 0.05}
"""The probability of each verb. "close" tasks are supported but never drawn."""

NEEDS = {
    "pick": "pick",
    "put": "pick",
    "open": "open",
    "close": "open",
    "break": "break",
    "slice": "slice",
    "toggle": "toggle",
    "sit": "sit",
}
"""The affordance that each verb needs of its object."""

_TRIES = 300


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """An episode before its first action. ``domain`` and ``seed`` determine its appearance."""

    seed: int
    domain: Domain
    room: str
    rules: Rules
    task: Task
    state: State


def make_task(verb: str, object: str, target: str | None = None) -> Task:
    """Returns the task with its id and instruction, e.g. "put the apple in the fridge"."""
    instruction = f"{VERBS[verb].phrase} the {object}"
    if target:
        instruction += f" {KINDS[target].preposition} the {target}"
    id = ":".join(part for part in (verb, object, target) if part)
    return Task(id=id, instruction=instruction, verb=verb, object=object, target=target)


def holds(state: State, task: Task) -> bool:
    """Whether the task's goal holds; false if its objects are not in the episode."""
    return task.id in satisfied(state)


def satisfied(state: State) -> tuple[str, ...]:
    """Returns the ids of all tasks whose goal holds, sorted."""
    ids: list[str] = []
    for thing in state.things:
        name, can = thing.name, thing.kind.affordances
        if thing.at == HAND:
            ids.append(f"pick:{name}")
        elif not thing.kind.fixed and not thing.floor:
            ids.append(f"put:{name}:{state.things[thing.at].name}")
        if "open" in can:
            ids.append(f"open:{name}" if thing.open else f"close:{name}")
        if thing.broken:
            ids.append(f"break:{name}")
        if thing.sliced:
            ids.append(f"slice:{name}")
        if thing.on:
            ids.append(f"toggle:{name}")
    if state.seated:
        ids.append(f"sit:{state.things[state.location].name}")
    return tuple(sorted(ids))


def draw_episode(
    seed: int,
    domain: Domain = "unknown",
    *,
    task: Task | None = None,
    verb: str | None = None,
    n_fixtures: int = 4,
    n_smalls: int = 4,
    rule_shares: Mapping[str, float] = rules_.SOURCE_SHARES,
) -> Episode:
    """Returns the episode of a seed; the same arguments give the same episode everywhere.

    ``task`` fixes the task and ``verb`` its verb; otherwise both are drawn. Source episodes draw their own rules with
    ``rule_shares``. Raises ValueError if no room offers the task.
    """
    rng = random.Random(f"household/{domain}/{seed}")
    rules = draw_rules(rng, rule_shares)
    if domain == "unknown":
        rules = rules_.UNKNOWN
    if task is not None:
        task = replace(task, object=spelled(task.object), target=spelled(task.target) if task.target else None)
        _check(task)
        verb = task.verb
        task = replace(task, id=make_task(verb, task.object, task.target).id)
    elif verb is None:
        verb = rng.choices(tuple(VERB_SHARES), tuple(VERB_SHARES.values()))[0]
    rooms = [room for room in ROOMS.values() if task is None or _offers(room, task)]
    if not rooms:
        raise ValueError(f"no room of the household has what {task.id if task else verb} needs")
    for _ in range(_TRIES):
        room = rng.choice(rooms)
        laid_out = _lay_out(rng, room, verb, task, n_fixtures, n_smalls)
        if laid_out:
            chosen, state = laid_out
            return Episode(seed=seed, domain=domain, room=room.name, rules=rules, task=chosen, state=state)
    raise ValueError(f"no household of {n_fixtures} fixtures and {n_smalls} small objects offers {verb!r}")


def _check(task: Task) -> None:
    if task.verb not in NEEDS:
        raise ValueError(f"the household has no verb {task.verb!r}: use one of {', '.join(NEEDS)}")
    if task.object not in KINDS or NEEDS[task.verb] not in KINDS[task.object].affordances:
        there = [name for name, kind in KINDS.items() if NEEDS[task.verb] in kind.affordances]
        near = "" if task.object in KINDS else did_you_mean(task.object, there)
        raise ValueError(f"it is impossible to {VERBS[task.verb].phrase} the {task.object} in the household{near}")
    if (task.verb == "put") != (task.target is not None):
        raise ValueError(f"task {task.id!r}: a target is for 'put', and 'put' needs one")
    if task.target is not None and (task.target not in FIXTURES or not FIXTURES[task.target].room):
        raise ValueError(f"it is impossible to put things on the {task.target} in the household")


def _offers(room: Room, task: Task) -> bool:
    names = {*room.fixtures, *room.smalls}
    wanted = {task.object, *([task.target] if task.target else []), *(["knife"] if task.verb == "slice" else [])}
    return wanted <= names


def _sample(rng: random.Random, names: tuple[str, ...], count: int, wanted: list[str]) -> list[str]:
    """Draws ``count`` names, including those of ``wanted`` that are in ``names``."""
    drawn = rng.sample(names, count)
    missing = [name for name in wanted if name in names and name not in drawn]
    spare = [i for i, name in enumerate(drawn) if name not in wanted]
    for name, i in zip(missing, spare, strict=False):
        drawn[i] = name
    return drawn


def _lay_out(
    rng: random.Random, room: Room, verb: str, task: Task | None, n_fixtures: int, n_smalls: int
) -> tuple[Task, State] | None:
    """Furnishes a room and returns the task and state; None if this draw does not offer the task."""
    wanted = [name for name in (task.object, task.target) if name] if task else []
    if verb == "slice":
        wanted.append("knife")
    fixtures = _sample(rng, room.fixtures, n_fixtures, wanted)
    smalls = _sample(rng, room.smalls, n_smalls, wanted)
    places = [i for i, name in enumerate(fixtures) if FIXTURES[name].room]
    if len(places) < 2:
        return None
    state = State(things=tuple(Thing(name=name, at=i) for i, name in enumerate(fixtures)), location=0)
    for name in smalls:
        state = _place(rng, state, name, places)
    names = [thing.name for thing in state.things]
    candidates = [name for name in names if NEEDS[verb] in KINDS[name].affordances]
    if not candidates or not set(wanted) <= set(names):
        return None
    chosen = _choose(rng, state, verb, candidates, places) if task is None else task
    state = _disturb(rng, state, chosen)
    if chosen.verb == "close":
        thing = state.find(chosen.object)
        state = state.with_thing(replace(thing, open=True)) if thing else state
    at = next(thing.at for thing in state.things if thing.name == chosen.object)
    if holds(state, chosen):
        return None
    away = [i for i in range(n_fixtures) if i != at]
    return chosen, replace(state, location=rng.choice(away))


def _place(rng: random.Random, state: State, name: str, places: list[int]) -> State:
    """Returns the state with one more small object at a random place; unchanged if there is no room.

    Each fixture keeps a free slot, so any object can be put anywhere.
    """
    inside = [i for i in places if "contain" in state.things[i].kind.affordances]
    outside = [i for i in places if i not in inside]
    pool = inside if inside and (rng.random() < 0.3 or not outside) else outside
    spare = {i: FIXTURES[state.things[i].name].room - len(state.there(i)) for i in places}
    free = [i for i in pool if spare[i] > 1] or [i for i in places if spare[i] > 1]
    if not free:
        return state
    at = rng.choice(free)
    slots = set(range(state.things[at].kind.room)) - {thing.slot for thing in state.there(at)}
    thing = Thing(name=name, at=at, slot=rng.choice(sorted(slots)))
    return replace(state, things=(*state.things, thing))


def _choose(rng: random.Random, state: State, verb: str, candidates: list[str], places: list[int]) -> Task:
    name = rng.choice(candidates)
    if verb != "put":
        return make_task(verb, name)
    source = next(thing.at for thing in state.smalls if thing.name == name)
    targets = [i for i in places if i != source]
    return make_task(verb, name, state.things[rng.choice(targets)].name)


def _disturb(rng: random.Random, state: State, task: Task) -> State:
    """Randomly opens, switches on, breaks or slices objects that the task does not need."""
    for thing in state.things:
        can = thing.kind.affordances
        if thing.name in (task.object, task.target) or (task.verb == "slice" and thing.name == "knife"):
            continue
        state = state.with_thing(
            replace(
                thing,
                open="open" in can and rng.random() < 0.12,
                on="toggle" in can and rng.random() < 0.15,
                broken="break" in can and rng.random() < 0.06,
                sliced="slice" in can and rng.random() < 0.08,
            )
        )
    return state
