"""What the character could try now, from the properties, states and relations of what it can see. Never from a goal."""

from services.worlds.virtualhome.actions import PHRASES, Names
from services.worlds.virtualhome.graph import Graph, Node

FIXED_ACTS = (
    ("open", "CAN_OPEN", "CLOSED"), ("close", "CAN_OPEN", "OPEN"),
    ("on", "HAS_SWITCH", "OFF"), ("off", "HAS_SWITCH", "ON"),
)  # fmt: skip
"""Act, the property it needs and the state it changes."""
HANDS = 2


def visible(graph: Graph) -> list[Node]:
    """The things of the character's room that are not shut away, by id."""
    here = graph.room(graph.character) if graph.character else None
    if here is None:
        return []
    return [
        node
        for node in graph.things
        if graph.shut(node) is None and (room := graph.room(node)) is not None and room.id == here.id
    ]


def admissible(graph: Graph, names: Names) -> tuple[str, ...]:
    """Everything that can be tried, in the order: acts on what is in reach, then what there is to go to."""
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
