"""VirtualHome's scene graph: objects with properties and states, and the relations between them. Read only.

The format is the simulator's own (``environment_graph``): nodes with ``id``, ``class_name``, ``category``,
``properties``, ``states`` and ``bounding_box`` (metres), edges with ``from_id``, ``to_id`` and ``relation_type``.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from runtime.text import TextError, read_text

CHARACTER = "character"
ROOM = "Rooms"
HOLDS = ("HOLDS_RH", "HOLDS_LH")
_STRUCTURE = {"rooms", "walls", "floor", "floors", "ceiling", "doors", "windows", "characters"}
"""Categories, in lower case, of what a room consists of rather than contains."""


def plain(name: str) -> str:
    """A class's name however it is written: "Kitchen_Table" is "kitchentable"."""
    return re.sub(r"[\s_-]+", "", name.lower())


class Box(msgspec.Struct, frozen=True):
    """Metres; y is up."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    class_name: str
    category: str | None = None
    properties: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    bounding_box: Box | None = None

    @property
    def is_room(self) -> bool:
        return self.category == ROOM

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


class _Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    init_graph: _Raw | None = None
    nodes: tuple[Node, ...] | None = None
    edges: tuple[Edge, ...] | None = None


class GraphError(ValueError):
    """What should be a scene graph is none."""


class Graph:
    """One scene at one moment, with its first character, if any."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes: dict[int, Node] = {node.id: node for node in nodes}
        self._out: dict[tuple[int, str], list[int]] = defaultdict(list)
        for edge in edges:
            if edge.from_id in self.nodes and edge.to_id in self.nodes:
                self._out[edge.from_id, edge.relation_type].append(edge.to_id)

    @staticmethod
    def decode(text: str | bytes) -> "Graph":
        """Raises GraphError."""
        try:
            read = msgspec.json.decode(text, type=_Wrapped)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise GraphError(f"this is no scene graph: {error}") from error
        raw = read.init_graph or read
        if raw.nodes is None or raw.edges is None:
            raise GraphError("this is no scene graph: it needs nodes and edges")
        return Graph(raw.nodes, raw.edges)

    @staticmethod
    def convert(graph: Mapping[str, Any]) -> "Graph":
        raw = msgspec.convert(graph, _Raw)
        return Graph(raw.nodes, raw.edges)

    def out(self, node: int, relation: str) -> list[Node]:
        """The nodes that a node has this relation to."""
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
        """What can be named and acted on, by id."""
        return sorted((node for node in self.nodes.values() if node.is_thing), key=lambda node: node.id)

    @cached_property
    def character(self) -> Node | None:
        found = [node for node in self.nodes.values() if node.class_name == CHARACTER]
        return min(found, key=lambda node: node.id, default=None)

    @cached_property
    def held(self) -> list[Node]:
        """What the character holds, right hand first."""
        if self.character is None:
            return []
        return [node for hand in HOLDS for node in self.out(self.character.id, hand)]

    @cached_property
    def held_ids(self) -> frozenset[int]:
        return frozenset(node.id for node in self.held)

    @cached_property
    def seat(self) -> Node | None:
        """What the character sits on."""
        if self.character is None:
            return None
        seats = self.out(self.character.id, "SITTING")
        if not seats and "SITTING" in self.character.states:
            seats = self.out(self.character.id, "ON")
        return seats[0] if seats else None

    @cached_property
    def near(self) -> frozenset[int]:
        """What is within the character's reach."""
        if self.character is None:
            return frozenset()
        close = self._out.get((self.character.id, "CLOSE"), ())
        return frozenset((*close, *self.held_ids))

    def support(self, node: Node) -> Node | None:
        """What a thing lies in or on; None where that is the floor or a hand."""
        if node.id in self.held_ids:
            return None
        for relation in ("INSIDE", "ON"):
            found = [other for other in self.out(node.id, relation) if other.is_thing and other.id != node.id]
            if found:
                return found[0]
        return None

    def root(self, node: Node) -> Node:
        """What carries a thing in the end: the fixture under whatever it lies in or on, or itself."""
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
        """The closed thing that a thing is inside of, if any."""
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
    """A graph file as it is, and read. Raises GraphError."""
    try:
        text = read_text(file).encode()
    except OSError as error:
        raise GraphError(f"cannot read the scene graph {file}: {error.strerror or error}") from error
    except TextError as error:
        raise GraphError(f"the scene graph {error}") from error
    try:
        graph = Graph.decode(text)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    if not graph.rooms:
        raise GraphError(f"{file}: this scene graph has no rooms")
    raw = msgspec.json.decode(text)
    return raw.get("init_graph") or raw, graph
