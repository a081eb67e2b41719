"""Instructions made from what a scene affords, written by a user, or drawn; and whether their goals hold."""

import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from protocols.messages import Task
from services.worlds.verbs import VERBS
from services.worlds.virtualhome.graph import Graph, Node

NEEDS = {
    "pick": ("GRABBABLE",), "put": ("GRABBABLE",), "open": ("CAN_OPEN",), "close": ("CAN_OPEN",),
    "toggle": ("HAS_SWITCH",), "sit": ("SITTABLE",),
}  # fmt: skip
"""The properties, one of which each verb needs of its object."""
DRAWN = ("pick", "put", "open", "toggle", "sit")
"""The task types that are made unless set otherwise (paper, section 5.1)."""


class WrittenTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[task]]`` of a user's TOML file. Without an ``instruction`` it is made from the rest."""

    verb: str
    object: str
    target: str | None = None
    instruction: str | None = None


class TaskFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: list[WrittenTask]


def make_task(verb: str, object: str, target: str | None = None, *, inside: bool = False) -> Task:
    """The task with its id and instruction, e.g. "put the apple in the fridge"."""
    instruction = f"{VERBS[verb].phrase} the {object}"
    if target:
        instruction += f" {'in' if inside else 'on'} the {target}"
    id = ":".join(part for part in (verb, object, target) if part)
    return Task(id=id, instruction=instruction, verb=verb, object=object, target=target)


def read_tasks(file: Path) -> list[Task]:
    """A user's tasks. Raises ValueError that says what is wrong with the file."""
    try:
        read = msgspec.convert(tomllib.loads(file.read_text()), TaskFile)
    except OSError as error:
        raise ValueError(f"cannot read the task file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"the task file {file}: {error}") from error
    tasks: list[Task] = []
    for number, written in enumerate(read.task, 1):
        try:
            check(written.verb, written.target)
        except ValueError as error:
            raise ValueError(f"the task file {file}, task {number}: {error}") from error
        task = make_task(written.verb, written.object, written.target)
        if written.instruction:
            task = msgspec.structs.replace(task, instruction=written.instruction)
        tasks.append(task)
    if not tasks:
        raise ValueError(f"the task file {file} has no [[task]]")
    return tasks


def check(verb: str, target: str | None) -> None:
    """Raises ValueError for a verb there is not, and for a target where none belongs."""
    if verb not in NEEDS:
        raise ValueError(f"there is no verb {verb!r} here: use one of {', '.join(NEEDS)}")
    if (verb == "put") != (target is not None):
        raise ValueError(f"{verb!r} with target {target!r}: a target is for 'put', and 'put' needs one")


def affords(graph: Graph, task: Task) -> bool:
    """Whether the scene has what the task is about, and one can do that with it."""
    objects = [node for node in graph.things if node.class_name == task.object and node.can(*NEEDS[task.verb])]
    targets = [node for node in graph.things if node.class_name == task.target and _holds_things(node)]
    return bool(objects) and (task.target is None or bool(targets))


def _holds_things(node: Node) -> bool:
    return node.can("SURFACES", "CONTAINERS") and not node.can("GRABBABLE")


def afforded(graph: Graph, verbs: Sequence[str], per_verb: int, rng: random.Random) -> list[Task]:
    """``per_verb`` tasks of each verb, drawn from what the scene affords (2-3 objects a task type in the paper)."""
    tasks: list[Task] = []
    places = {node.class_name: node for node in graph.things if _holds_things(node)}
    for verb in verbs:
        names = sorted({node.class_name for node in graph.things if node.can(*NEEDS[verb])})
        for name in rng.sample(names, min(per_verb, len(names))):
            if verb != "put":
                tasks.append(make_task(verb, name))
            elif places:
                place = places[rng.choice(sorted(places))]
                inside = place.can("CAN_OPEN") or not place.can("SURFACES")
                tasks.append(make_task(verb, name, place.class_name, inside=inside))
    return tasks


def satisfied(graph: Graph) -> tuple[str, ...]:
    """The ids of all tasks whose goal holds, sorted."""
    ids = {f"pick:{node.class_name}" for node in graph.held}
    for node in graph.things:
        name = node.class_name
        if node.can("GRABBABLE") and node.id not in graph.held_ids:
            places = (*graph.out(node.id, "ON"), *graph.out(node.id, "INSIDE"))
            ids.update(f"put:{name}:{place.class_name}" for place in places if place.is_thing)
        if node.can("CAN_OPEN"):
            ids.update(f"{verb}:{name}" for verb, state in _STATES.items() if state in node.states)
        if node.can("HAS_SWITCH") and "ON" in node.states:
            ids.add(f"toggle:{name}")
    if graph.seat is not None:
        ids.add(f"sit:{graph.seat.class_name}")
    return tuple(sorted(ids))


_STATES: Mapping[str, Any] = {"open": "OPEN", "close": "CLOSED"}
