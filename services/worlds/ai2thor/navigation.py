"""Moves the agent to an object: teleports it to a pose from which the object can be handled, or else walks."""

import math
from collections import deque
from collections.abc import Container, Sequence

from services.worlds.ai2thor.names import Thing, words
from services.worlds.ai2thor.player import Player, Pose, Refusal

NEAR = 1.0
"""The best distance for looking at an object, in metres."""
POSITIONS, TRIES = 24, 5
"""The number of positions near an object that are queried, and of poses that are tried."""
TURNS = tuple(float(yaw) for yaw in range(0, 360, 45))
LOOKS = (-30.0, 0.0, 30.0, 60.0)
STEPS = 120
"""The longest walk, in grid steps."""

Spot = dict[str, float]
"""A position: ``x``, ``y``, ``z``."""
Cell = tuple[int, int]
"""A position on the walking grid."""


def reachable(player: Player) -> list[Spot]:
    """Returns the positions where the agent can stand, in the player's order; empty if the player reports none."""
    try:
        return list(player.ask("GetReachablePositions") or ())
    except Refusal:
        return []


def find(player: Player, thing: Thing, spots: Sequence[Spot]) -> None:
    """Moves the agent in front of an object, or of the closed receptacle that holds it. Raises Refusal."""
    thing = _outermost_closed(player, thing)
    refused = ""
    for pose in _poses(player, thing, spots)[:TRIES]:
        try:
            player.teleport(pose)
            return
        except Refusal as refusal:
            refused = str(refusal)
    if not spots:
        raise Refusal(f"no way to the {words(thing['objectType'])}: {refused or 'nowhere to stand'}")
    _walk(player, thing, spots)


def _outermost_closed(player: Player, thing: Thing) -> Thing:
    """Returns the outermost closed receptacle that holds the object; the object itself if none is closed."""
    around, found = {thing["objectId"]}, thing
    queue = list(thing["parentReceptacles"] or ())
    while queue:
        holder = player.thing(queue.pop(0))
        if holder is None or holder["objectId"] in around:
            continue
        around.add(holder["objectId"])
        if holder["openable"] and not holder["isOpen"]:
            found = holder
        queue += holder["parentReceptacles"] or ()
    return found


def _poses(player: Player, thing: Thing, spots: Sequence[Spot]) -> list[Pose]:
    """Returns poses from which the object can be handled, the best first."""
    at = _centre(thing)
    near = sorted(spots, key=lambda spot: abs(_flat(spot, at) - NEAR))[:POSITIONS]
    arguments = {"positions": near} if near else {}
    try:
        poses: list[Pose] = player.ask(
            "GetInteractablePoses", objectId=thing["objectId"], rotations=list(TURNS), horizons=list(LOOKS),
            standings=[True], **arguments,
        ) or []  # fmt: skip
    except Refusal:
        return []
    return sorted(poses, key=lambda pose: _awkwardness(pose, at))


def _awkwardness(pose: Pose, at: Spot) -> tuple[float, float, float, float]:
    """Returns a sort key: how far a pose is from facing a point at the best distance. Ties are broken by position."""
    away = abs(_turn(pose["rotation"], _bearing(pose, at))) / 45 + abs(pose["horizon"] - _pitch(pose, at)) / 30
    return (round(away + abs(_flat(pose, at) - NEAR), 3), pose["x"], pose["z"], pose["rotation"])


def _walk(player: Player, thing: Thing, spots: Sequence[Spot]) -> None:
    """Walks along the grid to the reachable position nearest to the object, and turns to it."""
    at, grid = _centre(thing), player.options.grid
    cells = {_cell(spot, grid): spot for spot in spots}
    here = min(cells, key=lambda cell: _flat(cells[cell], player.pose))
    goal = min(cells, key=lambda cell: (abs(_flat(cells[cell], at) - NEAR), cell))
    for cell in _path(here, goal, cells.keys())[:STEPS]:
        _face(player, _bearing(player.pose, cells[cell]))
        player.go("MoveAhead", moveMagnitude=_flat(player.pose, cells[cell]))
    _face(player, _bearing(player.pose, at))
    down = max(-30.0, min(60.0, _pitch(player.pose, at))) - player.pose["horizon"]
    if abs(down) > 1:
        player.go("LookDown" if down > 0 else "LookUp", degrees=abs(down))


def _face(player: Player, yaw: float) -> None:
    turn = _turn(player.pose["rotation"], yaw)
    if abs(turn) > 0.5:
        player.go("RotateRight" if turn > 0 else "RotateLeft", degrees=abs(turn))


def _path(here: Cell, goal: Cell, cells: Container[Cell]) -> list[Cell]:
    """Returns the cells of a shortest path, without the first. Raises Refusal if there is none."""
    before: dict[Cell, Cell | None] = {here: None}
    queue = deque([here])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            break
        for dx, dz in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            beside = (cell[0] + dx, cell[1] + dz)
            if beside in cells and beside not in before:
                before[beside] = cell
                queue.append(beside)
    if goal not in before:
        raise Refusal("there is no way there")
    way = [goal]
    while (last := before[way[-1]]) is not None:
        way.append(last)
    return way[-2::-1]


def _cell(spot: Spot, grid: float) -> Cell:
    return round(spot["x"] / grid), round(spot["z"] / grid)


def _centre(thing: Thing) -> Spot:
    box = thing.get("axisAlignedBoundingBox") or {}
    return box.get("center") or thing["position"]


def _flat(a: Spot, b: Spot) -> float:
    return math.hypot(a["x"] - b["x"], a["z"] - b["z"])


def _bearing(a: Spot, b: Spot) -> float:
    """Returns the yaw from a to b in degrees: 0 along z, clockwise."""
    return math.degrees(math.atan2(b["x"] - a["x"], b["z"] - a["z"])) % 360


EYES = 0.675
"""The height of the agent's eyes above its position, in metres."""


def _pitch(pose: Spot, at: Spot) -> float:
    """Returns the downward angle from a pose to a point, in degrees."""
    return math.degrees(math.atan2(pose["y"] + EYES - at["y"], max(_flat(pose, at), 1e-3)))


def _turn(from_: float, to: float) -> float:
    """Returns the shorter turn between two yaws; positive is to the right."""
    return (to - from_ + 180) % 360 - 180
