"""A scripted demonstrator and random acts, for source demonstrations and measurements. Learning must not use them."""

import random

from protocols.messages import Task
from services.worlds.household.actions import DONE, PHRASES
from services.worlds.household.rules import Rules
from services.worlds.household.state import HAND, State, Thing
from services.worlds.household.tasks import holds

_ACT = {"open": "open", "close": "close", "break": "break", "slice": "slice", "toggle": "turn on", "sit": "sit on"}


def expert_action(state: State, rules: Rules, task: Task) -> str:
    """Returns the next action of the shortest way to the goal under the assumed rules; "done" if the goal holds."""
    if holds(state, task):
        return DONE
    thing = _thing(state, task.object)
    if task.verb == "pick":
        return _take(state, rules, thing)
    if task.verb == "put":
        if thing.at != HAND:
            return _take(state, rules, thing)
        target = _thing(state, task.target or "")
        shut = "contain" in target.kind.affordances and not target.open and rules.open_first
        way = _approach(state, rules, target) or (f"open {target.name}" if shut else None)
        return way or f"put {thing.name} {target.kind.preposition} {target.name}"
    if task.verb == "break" and rules.hold_to_break and thing.at != HAND:
        return _take(state, rules, thing)
    if task.verb == "slice" and rules.knife_to_slice and (state.held is None or state.held.name != "knife"):
        return _take(state, rules, _thing(state, "knife"))
    return _approach(state, rules, thing) or _uncover(state, thing) or f"{_ACT[task.verb]} {thing.name}"


def _thing(state: State, name: str) -> Thing:
    thing = state.find(name)
    if thing is None:
        raise ValueError(f"the demonstrator needs a {name}, and there is none in this episode")
    return thing


def _approach(state: State, rules: Rules, thing: Thing) -> str | None:
    return f"find {thing.name}" if rules.navigate_first and not state.near(thing) else None


def _uncover(state: State, thing: Thing) -> str | None:
    shut = state.container(thing)
    return f"open {shut.name}" if shut else None


def _take(state: State, rules: Rules, thing: Thing) -> str:
    if way := _approach(state, rules, thing) or (_uncover(state, thing) if rules.open_first else None):
        return way
    return f"drop {state.held.name}" if state.held else f"pick up {thing.name}"


def possible_actions(state: State) -> tuple[str, ...]:
    """Returns all acts that the types of the room's objects allow, even those that would be refused now."""
    actions: list[str] = []
    for thing in state.things:
        can, name = thing.kind.affordances, thing.name
        actions.append(f"find {name}")
        actions += [f"{PHRASES[act]} {name}" for act in ("pick", "break", "slice", "sit") if act in can]
        if "open" in can:
            actions += [f"open {name}", f"close {name}"]
        if "toggle" in can:
            actions += [f"turn on {name}", f"turn off {name}"]
    if held := state.held:
        actions.append(f"drop {held.name}")
        actions += [f"put {held.name} {f.kind.preposition} {f.name}" for f in state.fixtures if f.kind.room]
    return tuple(actions)


def random_action(state: State, rng: random.Random) -> str:
    """Returns a random act, weighted towards common ones."""
    thing = rng.choice(state.things)
    can, name = thing.kind.affordances, thing.name
    actions = [f"find {name}"] * 2
    for affordance, phrase, weight in (
        ("pick", "pick up", 2),
        ("open", "open", 2),
        ("toggle", "turn on", 1),
        ("break", "break", 1),
        ("slice", "slice", 1),
        ("sit", "sit on", 1),
    ):
        if affordance in can:
            actions += [f"{phrase} {name}"] * weight
    if held := state.held:
        target = rng.choice([fixture for fixture in state.fixtures if fixture.kind.room])
        actions += [f"put {held.name} {target.kind.preposition} {target.name}"] * 2
    return rng.choice(actions)
