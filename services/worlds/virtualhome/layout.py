"""The layout of a drawn room: its furniture in a row along the wall, with small objects in, on or before it."""

from collections import defaultdict

from services.worlds.virtualhome.graph import Graph, Node

FURNITURE = ("CAN_OPEN", "HAS_SWITCH", "SITTABLE", "SURFACES", "CONTAINERS", "LIEABLE")


def is_fixture(node: Node) -> bool:
    return node.is_thing and not node.can("GRABBABLE") and node.can(*FURNITURE)


def carrier(graph: Graph, node: Node) -> Node | None:
    """Returns the fixture that an object lies in or on, or is; None if it is held or on the floor."""
    seen: set[int] = set()
    found: Node | None = node
    while found is not None and found.id not in seen:
        if is_fixture(found):
            return found
        seen.add(found.id)
        found = graph.support(found)
    return None


def place_of(graph: Graph, id: int) -> int:
    """Returns the id of the place where the character stands after going to an object: its fixture, or itself."""
    node = graph.nodes[id]
    found = None if node.is_room else carrier(graph, node)
    return found.id if found else id


class Row:
    """The character's room: its fixtures in order and the objects that each carries. ``here`` is the character's
    index."""

    def __init__(self, graph: Graph, at: int | None) -> None:
        self.room = graph.room(graph.character) if graph.character else (graph.rooms[0] if graph.rooms else None)
        inside = [node for node in graph.things if self.room is not None and self._within(graph, node)]
        self.fixtures = sorted((node for node in inside if is_fixture(node)), key=_along)
        index = {node.id: i for i, node in enumerate(self.fixtures)}
        self.carried: dict[int, list[Node]] = defaultdict(list)
        self.floor: dict[int, list[Node]] = defaultdict(list)
        for node in inside:
            if is_fixture(node) or node.id in graph.held_ids or not node.can("GRABBABLE"):
                continue
            place = carrier(graph, node)
            if place is not None and place.id in index:
                self.carried[index[place.id]].append(node)
            elif self.fixtures:
                self.floor[node.id % len(self.fixtures)].append(node)
        seat = graph.seat
        at = seat.id if seat is not None else at
        self.here = index.get(at or -1, (at or 0) % len(self.fixtures) if self.fixtures and at else 0)
        if at is not None and self.room is not None and at == self.room.id:
            self.here = 0

    def _within(self, graph: Graph, node: Node) -> bool:
        room = graph.room(node)
        return room is not None and self.room is not None and room.id == self.room.id


def _along(node: Node) -> tuple[float, int]:
    """Sort key: the position along the room's wall, if the scene has coordinates."""
    return (node.bounding_box.center[0] if node.bounding_box else 0.0), node.id
