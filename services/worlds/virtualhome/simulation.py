"""The interface of both simulations of VirtualHome: the Unity player, and the package's graph executor."""

import random
from collections.abc import Mapping
from typing import Protocol

import msgspec

from protocols.messages import Task
from services.worlds.virtualhome.graph import Graph, Node
from services.worlds.world import Frame


class Arrangement(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of an episode's scene from the stored one: new states of objects, and the object in or on
    which ("INSIDE", "ON") others are placed."""

    states: Mapping[int, frozenset[str]] = {}
    places: Mapping[int, tuple[str, int]] = {}


class Simulation(Protocol):
    """One scene at a time. Blocking. All methods but `close` raise WorldError if the simulator fails."""

    def load(self, scene: int) -> None:
        """Loads the stored scene, without a character."""
        ...

    def arrange(self, arrangement: Arrangement) -> None:
        """Changes the scene, before a character is added."""
        ...

    def add_character(self, room: str) -> bool:
        """Places the character in a room of this class; returns whether that succeeded."""
        ...

    def act(self, line: str) -> str | None:
        """Runs a script line. Returns None, or why it was refused."""
        ...

    def graph(self) -> Graph: ...

    def first_person(self) -> Frame: ...

    def third_person(self) -> Frame: ...

    def close(self) -> None: ...


OPEN_SHARE, ON_SHARE, MOVE_SHARE = 0.12, 0.12, 0.5
_GOALS = {"open": {"OPEN": "CLOSED"}, "close": {"CLOSED": "OPEN"}, "toggle": {"ON": "OFF"}}


def draw_arrangement(graph: Graph, rng: random.Random, task: Task | None) -> Arrangement:
    """Draws open doors, devices that are on, and other places for half of the small objects; undoes a given task's
    goal."""
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
