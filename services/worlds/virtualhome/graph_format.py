"""Normalises scene graphs from players, from VirtualHome's programs and data, and from users.

Omissions and deviations are corrected if they are unambiguous; others are refused with their place in the graph.
"""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from runtime.text import TextError, decode_text
from services.worlds.spelling import spelled

CHARACTER = "character"
ROOM = ("rooms", "room")
"""Categories, in lower case, of rooms."""
WRAPPERS = ("init_graph", "graph", "environment_graph")
"""Keys under which a file may hold a graph beside other data; the first one present is used."""
ROOMS = frozenset(
    ("bathroom", "bedroom", "diningroom", "entrancehall", "garage", "hallway", "homeoffice", "kidsbedroom", "kitchen",
     "livingroom", "office", "terrace")
)  # fmt: skip
"""Class names of rooms, for nodes without a category."""
MAX_BYTES = 256 << 20
"""The largest file after decompression."""


class GraphError(ValueError):
    """The data is not a valid scene graph."""


def read_file(file: Path) -> dict[str, Any]:
    """Reads a graph file, which may be gzipped, in the simulator's own format. Raises GraphError that names the
    file."""
    try:
        text = file.read_bytes()
        if text.startswith(b"\x1f\x8b"):
            with gzip.open(file) as packed:
                text = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise GraphError(f"cannot read the scene graph {file}: {getattr(error, 'strerror', None) or error}") from error
    try:
        if len(text) > MAX_BYTES:
            raise GraphError(f"this is no scene graph: it has over {MAX_BYTES >> 20} MiB")
        raw = read_text(decode_text(text, str(file)))
        _check_ids(raw["nodes"])
    except TextError as error:
        raise GraphError(f"the scene graph {error}") from error
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    return raw


def read_text(text: str | bytes) -> dict[str, Any]:
    """Parses a graph in JSON, in the simulator's own format. Raises GraphError."""
    try:
        return written(msgspec.json.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GraphError(f"this is no scene graph: {error}") from error


def written(read: Any) -> dict[str, Any]:
    """Returns a decoded graph with its nodes and edges in the simulator's format, as far as they are unambiguous."""
    found: Any = read
    if isinstance(read, list) and len(cast("list[Any]", read)) == 1:
        found = read[0]
    if _is_map(found):
        found = next((found[key] for key in WRAPPERS if _is_map(found.get(key))), found)
    inner: Any = found
    if not _is_map(inner) or inner.get("nodes") is None or inner.get("edges") is None:
        raise GraphError("this is no scene graph: it needs nodes and edges")
    nodes, edges = inner["nodes"], inner["edges"]
    if _is_map(nodes):
        nodes = [{"id": id, **node} if _is_map(node) else node for id, node in nodes.items()]
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise GraphError("this is no scene graph: its nodes and edges must be lists")
    return {
        "nodes": [_node(node) if _is_map(node) else node for node in cast("list[Any]", nodes)],
        "edges": [_edge(edge) if _is_map(edge) else edge for edge in cast("list[Any]", edges)],
    }


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(node)
    if "id" in found:
        found["id"] = _number(found["id"])
    name, category = found.get("class_name"), found.get("category")
    if isinstance(name, str):
        if spelled(name) == CHARACTER:
            found["class_name"], category = CHARACTER, category or "Characters"
        elif category is None and spelled(name) in ROOMS:
            category = "Rooms"
    if isinstance(category, str) and category.lower() in ROOM:
        category = "Rooms"
    found["category"] = category
    for key in ("properties", "states"):
        listed = found.get(key)
        found[key] = [] if listed is None else _capitals(listed)
    box: Any = found.setdefault("bounding_box", None)
    if _is_map(box) and {"center", "size"} <= {*box}:
        found["bounding_box"] = {key: box[key] for key in ("center", "size")}
    return found


def _edge(edge: Mapping[str, Any]) -> dict[str, Any]:
    found = {**edge, **{key: _number(edge[key]) for key in ("from_id", "to_id") if key in edge}}
    if isinstance(relation := edge.get("relation_type"), str):
        found["relation_type"] = relation.upper()
    return found


def _check_ids(nodes: list[Any]) -> None:
    """Drops duplicate nodes. Raises GraphError if different nodes share an id."""
    seen: dict[Any, tuple[int, Any]] = {}
    for place, node in enumerate(nodes):
        id = node.get("id") if _is_map(node) else None
        if id is None or isinstance(id, list | dict):
            continue  # refused later, with its place
        first, other = seen.setdefault(id, (place, node))
        if node != other:
            raise GraphError(
                f"this scene graph gives nodes[{first}] ({other.get('class_name')!r}) and nodes[{place}] "
                f"({node.get('class_name')!r}) one id, {id}: give each node its own"
            )
    nodes[:] = [node for place, node in enumerate(nodes) if not _is_map(node) or _first(seen, node, place)]


def _first(seen: Mapping[Any, tuple[int, Any]], node: Mapping[str, Any], place: int) -> bool:
    id = node.get("id")
    return isinstance(id, list | dict) or id not in seen or seen[id][0] == place


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _number(value: Any) -> Any:
    """Converts an id that is text or a float such as 7.0."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _capitals(listed: Any) -> Any:
    if not isinstance(listed, list):
        return listed
    return [one.upper() if isinstance(one, str) else one for one in cast("list[Any]", listed)]
