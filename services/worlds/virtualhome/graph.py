"""VirtualHome's scene graph: objects with properties and states, and the relations between them. Read-only.

The format is the simulator's own (``environment_graph``): nodes with ``id``, ``class_name``, ``category``,
``properties``, ``states`` and ``bounding_box`` (metres), edges with ``from_id``, ``to_id`` and ``relation_type``.
`graph_format` corrects or refuses deviations.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from services.worlds.spelling import spelled
from services.worlds.virtualhome.graph_format import CHARACTER, ROOM, GraphError, read_file, read_text

HOLDS = ("HOLDS_RH", "HOLDS_LH")
_STRUCTURE = {"rooms", "walls", "floor", "floors", "ceiling", "doors", "windows", "characters"}
"""Categories, in lower case, of a room's structure, as opposed to its contents."""


class Box(msgspec.Struct, frozen=True):
    """A bounding box in metres; y is up."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One object, room or character. ``class_name`` is the spelling that actions, tasks and goals use,
    "bathroomcabinet"; ``written`` is the simulator's, "bathroom_cabinet". Properties and states are in capitals."""

    id: int
    class_name: str
    category: str | None = None
    properties: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    bounding_box: Box | None = None
    written: str = ""

    def __post_init__(self) -> None:
        capitals = {name: frozenset(map(str.upper, getattr(self, name))) for name in ("properties", "states")}
        spellings = {"written": self.written or self.class_name, "class_name": spelled(self.class_name)}
        for name, value in {**spellings, **capitals}.items():
            msgspec.structs.force_setattr(self, name, value)

    @property
    def is_room(self) -> bool:
        return (self.category or "").lower() in ROOM

    @property
    def is_thing(self) -> bool:
        return (self.category or "").lower() not in _STRUCTURE and self.class_name != CHARACTER

    def can(self, *properties: str) -> bool:
        """Whether it has one of these properties."""
        return not self.properties.isdisjoint(properties)


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    from_id: int
    to_id: int
    relation_type: str


class _Raw(msgspec.Struct, frozen=True, kw_only=True):
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class Graph:
    """One scene at one moment, with its first character, if any."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes: dict[int, Node] = {node.id: node for node in nodes}
        self._out: dict[tuple[int, str], list[int]] = defaultdict(list)
        for edge in edges:
            if edge.from_id in self.nodes and edge.to_id in self.nodes:
                self._out[edge.from_id, edge.relation_type.upper()].append(edge.to_id)

    @staticmethod
    def decode(text: str | bytes) -> "Graph":
        """Parses a graph in JSON. Raises GraphError."""
        return Graph.convert(read_text(text))

    @staticmethod
    def convert(graph: Mapping[str, Any]) -> "Graph":
        """Converts a decoded graph. Raises GraphError that names the invalid place."""
        try:
            raw = msgspec.convert(graph, _Raw)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            place = f" at {where.rstrip('`')}" if where else ""
            raise GraphError(f"this is no scene graph: {what}{place}") from error
        return Graph(raw.nodes, raw.edges)

    def out(self, node: int, relation: str) -> list[Node]:
        """Returns the nodes to which a node has this relation."""
        return [self.nodes[other] for other in self._out.get((node, relation), ())]

    @property
    def edges(self) -> Iterator[Edge]:
        for (from_id, relation), others in self._out.items():
            for to_id in others:
                yield Edge(from_id=from_id, to_id=to_id, relation_type=relation)

    @cached_property
    def rooms(self) -> list[Node]:
        return sorted((node for node in self.nodes.values() if node.is_room), key=lambda node: node.id)

    @cached_property
    def things(self) -> list[Node]:
        """All objects that can be named and acted on, ordered by id."""
        return sorted((node for node in self.nodes.values() if node.is_thing), key=lambda node: node.id)

    @cached_property
    def character(self) -> Node | None:
        found = [node for node in self.nodes.values() if node.class_name == CHARACTER]
        return min(found, key=lambda node: node.id, default=None)

    @cached_property
    def held(self) -> list[Node]:
        """The objects that the character holds, right hand first."""
        if self.character is None:
            return []
        return [node for hand in HOLDS for node in self.out(self.character.id, hand)]

    @cached_property
    def held_ids(self) -> frozenset[int]:
        return frozenset(node.id for node in self.held)

    @cached_property
    def seat(self) -> Node | None:
        """The object on which the character sits."""
        if self.character is None:
            return None
        seats = self.out(self.character.id, "SITTING")
        if not seats and "SITTING" in self.character.states:
            seats = self.out(self.character.id, "ON")
        return seats[0] if seats else None

    @cached_property
    def near(self) -> frozenset[int]:
        """The ids of objects within the character's reach."""
        if self.character is None:
            return frozenset()
        close = self._out.get((self.character.id, "CLOSE"), ())
        return frozenset((*close, *self.held_ids))

    def support(self, node: Node) -> Node | None:
        """Returns the object that a node lies in or on; None if it lies on the floor or is held."""
        if node.id in self.held_ids:
            return None
        for relation in ("INSIDE", "ON"):
            found = [other for other in self.out(node.id, relation) if other.is_thing and other.id != node.id]
            if found:
                return found[0]
        return None

    def root(self, node: Node) -> Node:
        """Returns the last object of the chain of supports: the fixture that carries the node, or the node itself."""
        seen = {node.id}
        while (under := self.support(node)) is not None and under.id not in seen:
            node = under
            seen.add(node.id)
        return node

    def room(self, node: Node) -> Node | None:
        if node.is_room:
            return node
        root = self.root(node)
        if root.id in self.held_ids and self.character:
            root = self.character
        return next((other for other in self.out(root.id, "INSIDE") if other.is_room), None)

    def shut(self, node: Node) -> Node | None:
        """Returns the closed object that contains the node, directly or not, if any."""
        seen: set[int] = set()
        while node.id not in seen:
            seen.add(node.id)
            under = self.support(node)
            if under is None:
                return None
            if "CLOSED" in under.states and under in self.out(node.id, "INSIDE"):
                return under
            node = under
        return None


def read_graph(file: Path) -> tuple[dict[str, Any], Graph]:
    """Reads a graph file; returns it decoded and as a `Graph`. Raises GraphError that names the file and the place."""
    raw = read_file(file)
    try:
        graph = Graph.convert(raw)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    if not graph.rooms:
        raise GraphError(f"{file}: this scene graph has no rooms: it needs nodes of category 'Rooms'")
    return raw, graph
