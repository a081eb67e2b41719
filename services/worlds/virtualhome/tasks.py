"""Tasks made from a scene's affordances, read from a user's file, or drawn; and goal checks."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from protocols.messages import Task
from services.worlds.options import WrittenTask, read_task_file, task_id
from services.worlds.spelling import did_you_mean, spelled
from services.worlds.verbs import VERBS
from services.worlds.virtualhome.graph import Graph, Node

NEEDS = {
    "pick": ("GRABBABLE",), "put": ("GRABBABLE",), "open": ("CAN_OPEN",), "close": ("CAN_OPEN",),
    "toggle": ("HAS_SWITCH",), "sit": ("SITTABLE",),
}  # fmt: skip
"""The properties of which each verb's object needs at least one."""
DRAWN = ("pick", "put", "open", "toggle", "sit")
"""The verbs of generated tasks, by default (paper, section 5.1)."""


def make_task(verb: str, object: str, target: str | None = None, *, inside: bool = False) -> Task:
    """Returns the task with its id and instruction, e.g. "put the apple in the fridge"."""
    instruction = f"{VERBS[verb].phrase} the {object}"
    if target:
        instruction += f" {'in' if inside else 'on'} the {target}"
    return Task(id=task_id(verb, object, target), instruction=instruction, verb=verb, object=object, target=target)


def read_tasks(file: str) -> list[Task]:
    """Reads a user's task file. Tasks without an instruction get an empty one: see `phrased`. Raises ValueError that
    describes the file's fault."""
    tasks: list[Task] = []
    for written in read_task_file(file, WrittenTask, NEEDS):
        task = make_task(written.verb, spelled(written.object), spelled(written.target) if written.target else None)
        tasks.append(msgspec.structs.replace(task, instruction=written.instruction or ""))
    return tasks


def named(task: Task) -> Task:
    """Returns the task with this world's spelling of its id, object and target."""
    object, target = spelled(task.object), spelled(task.target) if task.target else None
    return msgspec.structs.replace(task, id=task_id(task.verb, object, target), object=object, target=target)


def phrased(graph: Graph, task: Task) -> Task:
    """Returns the task with this world's id, and with its own instruction or else one that fits the scene."""
    task = named(task)
    inside = any(node.class_name == task.target and _goes_in(node) for node in graph.things)
    made = make_task(task.verb, task.object, task.target, inside=inside)
    return msgspec.structs.replace(made, instruction=task.instruction or made.instruction)


def affords(graph: Graph, task: Task) -> bool:
    """Whether the scene has the task's objects, with the properties that the task needs."""
    return not _lacks(graph, named(task))


def refused(graphs: Sequence[Graph], task: Task) -> str:
    """Returns why no scene affords a task, as the end of a sentence."""
    task = named(task)
    missing = next((lack for graph in graphs if (lack := _lacks(graph, task))), task.object)
    suits = _holds_things if missing == task.target else lambda node: node.can(*NEEDS[task.verb])
    there = {node.class_name for graph in graphs for node in graph.things if suits(node)}
    use = "to put things in or on" if missing == task.target else f"to {VERBS[task.verb].phrase}"
    return f"there is no {missing} {use}{did_you_mean(missing, there)}"


def _lacks(graph: Graph, task: Task) -> str:
    """Returns the object that the task needs and the scene lacks; empty if it has all."""
    if not any(node.class_name == task.object and node.can(*NEEDS[task.verb]) for node in graph.things):
        return task.object
    targets = [node for node in graph.things if node.class_name == task.target and _holds_things(node)]
    return task.target if task.target is not None and not targets else ""


def _holds_things(node: Node) -> bool:
    return node.can("SURFACES", "CONTAINERS") and not node.can("GRABBABLE")


def _goes_in(place: Node) -> bool:
    return place.can("CAN_OPEN") or not place.can("SURFACES")


def afforded(graph: Graph, verbs: Sequence[str], per_verb: int, rng: random.Random) -> list[Task]:
    """Draws ``per_verb`` tasks of each verb from the scene's affordances (2-3 objects per task type in the paper)."""
    tasks: list[Task] = []
    places = {node.class_name: node for node in graph.things if _holds_things(node)}
    for verb in verbs:
        names = sorted({node.class_name for node in graph.things if node.can(*NEEDS[verb])})
        for name in rng.sample(names, min(per_verb, len(names))):
            if verb != "put":
                tasks.append(make_task(verb, name))
            elif places:
                place = places[rng.choice(sorted(places))]
                tasks.append(make_task(verb, name, place.class_name, inside=_goes_in(place)))
    return tasks


def satisfied(graph: Graph) -> tuple[str, ...]:
    """Returns the ids of all tasks whose goal holds, sorted."""
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
