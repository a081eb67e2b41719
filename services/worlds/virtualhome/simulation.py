"""What either way of simulating VirtualHome does: the Unity player, or the package's graph executor."""

import random
from collections.abc import Mapping
from typing import Protocol

import msgspec

from protocols.messages import Task
from services.worlds.virtualhome.graph import Graph, Node
from services.worlds.world import Frame


class Arrangement(msgspec.Struct, frozen=True, kw_only=True):
    """How an episode's scene differs from the scene as it is stored: the states that things have instead, and the
    thing in or on which ("INSIDE", "ON") others lie."""

    states: Mapping[int, frozenset[str]] = {}
    places: Mapping[int, tuple[str, int]] = {}


class Simulation(Protocol):
    """One scene at a time. Blocking. Every method but `close` raises WorldError when the simulator fails."""

    def load(self, scene: int) -> None:
        """The scene as it is stored, without a character."""
        ...

    def arrange(self, arrangement: Arrangement) -> None:
        """Changes the scene before there is a character."""
        ...

    def add_character(self, room: str) -> bool:
        """Whether the character now stands in a room of that class."""
        ...

    def act(self, line: str) -> str | None:
        """Runs a script line; returns why it was refused."""
        ...

    def graph(self) -> Graph: ...

    def first_person(self) -> Frame: ...

    def third_person(self) -> Frame: ...

    def close(self) -> None: ...


OPEN_SHARE, ON_SHARE, MOVE_SHARE = 0.12, 0.12, 0.5
_GOALS = {"open": {"OPEN": "CLOSED"}, "close": {"CLOSED": "OPEN"}, "toggle": {"ON": "OFF"}}


def draw_arrangement(graph: Graph, rng: random.Random, task: Task | None) -> Arrangement:
    """Some doors open, some devices on, half of the small things elsewhere in their room; a given task not done yet."""
    states: dict[int, frozenset[str]] = {}
    places: dict[int, tuple[str, int]] = {}
    for node in graph.things:
        new = _draw_states(node, rng)
        if task is not None and node.class_name == task.object:
            undo = _GOALS.get(task.verb, {})
            new = frozenset(undo.get(state, state) for state in new)
        if new != node.states:
            states[node.id] = new
        move = rng.random() < MOVE_SHARE
        target = task.target if task is not None and node.class_name == task.object else None
        if node.can("GRABBABLE") and (move or target is not None):
            options = [place for place in _places(graph, node) if place.class_name != target]
            if options:
                place = rng.choice(options)
                places[node.id] = ("ON" if place.can("SURFACES") else "INSIDE", place.id)
    return Arrangement(states=states, places=places)


def _draw_states(node: Node, rng: random.Random) -> frozenset[str]:
    states = set(node.states)
    opened, on = rng.random() < OPEN_SHARE, rng.random() < ON_SHARE
    if states & {"OPEN", "CLOSED"} and node.can("CAN_OPEN"):
        states = states - {"OPEN", "CLOSED"} | {"OPEN" if opened else "CLOSED"}
    if states & {"ON", "OFF"} and node.can("HAS_SWITCH"):
        states = states - {"ON", "OFF"} | {"ON" if on and "OPEN" not in states else "OFF"}
    return frozenset(states)


def _places(graph: Graph, node: Node) -> list[Node]:
    room = graph.room(node)
    return [
        place
        for place in graph.things
        if place.can("SURFACES", "CONTAINERS")
        and not place.can("GRABBABLE")
        and room is not None
        and (other := graph.room(place)) is not None
        and other.id == room.id
    ]
