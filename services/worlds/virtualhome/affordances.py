"""Lists the character's possible actions from properties, states and relations of visible objects, never from a
goal."""

from services.worlds.virtualhome.actions import PHRASES, Names
from services.worlds.virtualhome.graph import Graph, Node

FIXED_ACTS = (
    ("open", "CAN_OPEN", "CLOSED"), ("close", "CAN_OPEN", "OPEN"),
    ("on", "HAS_SWITCH", "OFF"), ("off", "HAS_SWITCH", "ON"),
)  # fmt: skip
"""Each act with the property that it needs and the state that it changes."""
HANDS = 2


def visible(graph: Graph) -> list[Node]:
    """Returns the objects in the character's room that are not in a closed container, ordered by id."""
    here = graph.room(graph.character) if graph.character else None
    if here is None:
        return []
    return [
        node
        for node in graph.things
        if graph.shut(node) is None and (room := graph.room(node)) is not None and room.id == here.id
    ]


def admissible(graph: Graph, names: Names) -> tuple[str, ...]:
    """Returns all actions to try: first acts on objects in reach, then objects and rooms to go to."""
    if graph.seat is not None:
        return (PHRASES["stand"],)
    called = names.now(graph)
    seen = visible(graph)
    near = [node for node in seen if node.id in graph.near]
    acts = [text for node in near for text in _acts(graph, node, called)]
    acts += [text for held in graph.held for node in near for text in _puts(held, node, called)]
    to_go = [node for node in seen if node.id not in graph.held_ids and _interesting(node)]
    here = graph.room(graph.character) if graph.character else None
    to_go += [room for room in graph.rooms if here is None or room.id != here.id]
    return tuple(dict.fromkeys((*acts, *(f"{PHRASES['find']} {called[node.id]}" for node in to_go))))


def _interesting(node: Node) -> bool:
    return node.can("GRABBABLE", "CAN_OPEN", "HAS_SWITCH", "SITTABLE", "SURFACES", "CONTAINERS")


def _acts(graph: Graph, node: Node, called: dict[int, str]) -> list[str]:
    name = called[node.id]
    held = node.id in graph.held_ids
    found = [act for act, needs, state in FIXED_ACTS if node.can(needs) and state in node.states]
    if node.can("GRABBABLE") and not held and len(graph.held) < HANDS:
        found.insert(0, "pick")
    if node.can("SITTABLE"):
        found.append("sit")
    if held and node.can("DRINKABLE", "RECIPIENT"):
        found.append("drink")
    return [f"{PHRASES[act]} {name}" for act in found]


def _puts(held: Node, place: Node, called: dict[int, str]) -> list[str]:
    if place.id == held.id or place.can("GRABBABLE"):
        return []
    what, where = called[held.id], called[place.id]
    found: list[str] = []
    if place.can("CONTAINERS", "CAN_OPEN") and "CLOSED" not in place.states:
        found.append(f"put {what} in {where}")
    if place.can("SURFACES"):
        found.append(f"put {what} on {where}")
    return found
