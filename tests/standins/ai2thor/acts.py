"""What the player's actions do to a room. Each gives the answer, or says in words why not."""

import math
from collections.abc import Callable
from typing import Any

from tests.standins.ai2thor.rooms import ROOM, SCENES, Room, Thing

Command = dict[str, Any]


class Refused(Exception):
    """``code`` is one that the client makes an exception of, or none."""

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.code = code


STATES = {
    "OpenObject": ("openable", "isOpen", True),
    "CloseObject": ("openable", "isOpen", False),
    "BreakObject": ("breakable", "isBroken", True),
    "SliceObject": ("sliceable", "isSliced", True),
    "ToggleObjectOn": ("toggleable", "isToggled", True),
    "ToggleObjectOff": ("toggleable", "isToggled", False),
    "DirtyObject": ("dirtyable", "isDirty", True),
    "CleanObject": ("dirtyable", "isDirty", False),
    "CookObject": ("cookable", "isCooked", True),
    "UseUpObject": ("canBeUsedUp", "isUsedUp", True),
    "FillObjectWithLiquid": ("canFillWithLiquid", "isFilledWithLiquid", True),
    "EmptyLiquidFromObject": ("canFillWithLiquid", "isFilledWithLiquid", False),
}
QUERIES = ("GetReachablePositions", "GetInteractablePoses", "GetScenesInBuild")
"""Answered without frames, as the player does."""


def act(room: Room, command: Command) -> Any:
    """The action's return value. Raises Refused."""
    name = command["action"]
    if name in STATES:
        return _change(room, command, *STATES[name])
    if name not in _ACTS:
        raise Refused(f"{name} is no action of this player", "InvalidAction")
    return _ACTS[name](room, command)


def _thing(room: Room, command: Command) -> Thing:
    if "objectId" not in command:
        raise Refused(f"{command['action']} needs an objectId", "MissingArguments")
    thing = room.things.get(command["objectId"])
    if thing is None:
        raise Refused(f"no object {command['objectId']} is in the scene")
    if not (command.get("forceAction") or room.visible(thing)):
        raise Refused(f"{thing.id} is not in view within {room.reach:g} m")
    return thing


def _change(room: Room, command: Command, can: str, state: str, value: bool) -> None:
    thing = _thing(room, command)
    if not thing.flags[can]:
        raise Refused(f"{thing.id} is not {can}")
    if thing.flags[state] == value:
        raise Refused(f"{thing.id} already has {state} {value}")
    if can == "openable" and thing.flags["isToggled"] and value and thing.flags["isHeatSource"]:
        raise Refused(f"{thing.id} has to be off to be opened")
    if can == "toggleable" and thing.flags["isOpen"] and value and thing.flags["isHeatSource"]:
        raise Refused(f"{thing.id} has to be closed to be turned on")
    thing.flags[state] = value
    if can == "canFillWithLiquid":
        thing.liquid = command.get("fillLiquid") if value else None
    if state == "isSliced" or (state == "isBroken" and thing.type == "Egg"):
        _fall_to_pieces(room, thing, "Sliced" if state == "isSliced" else "Cracked")


def _fall_to_pieces(room: Room, thing: Thing, suffix: str) -> None:
    del room.things[thing.id]
    if room.held == thing.id:
        room.held = None
    x, y, z = thing.at
    for i in range(2 if suffix == "Sliced" else 1):
        room.add(thing.type + suffix, (x + i * 0.1, y, z), thing.within)


def _pick(room: Room, command: Command) -> None:
    thing = _thing(room, command)
    if not thing.flags["pickupable"]:
        raise Refused(f"{thing.id} cannot be picked up")
    if room.held:
        raise Refused(f"the hand holds {room.held} already")
    room.held, thing.within, thing.flags["isPickedUp"] = thing.id, None, True
    _carry(room)


def _put(room: Room, command: Command) -> None:
    holder = _thing(room, command)
    if room.held is None:
        raise Refused("nothing is in the hand")
    if not holder.flags["receptacle"] or holder.id == room.held:
        raise Refused(f"{holder.id} holds nothing")
    if holder.flags["openable"] and not holder.flags["isOpen"]:
        raise Refused(f"{holder.id} is closed")
    if len(room.inside(holder.id)) >= ROOM:
        raise Refused(f"{holder.id} has no room left")
    _let_go(room, room.spot(holder), holder.id)


def _drop(room: Room, _: Command) -> None:
    if room.held is None:
        raise Refused("nothing is in the hand")
    yaw = math.radians(room.agent["yaw"])
    _let_go(room, (room.agent["x"] + 0.4 * math.sin(yaw), 0.1, room.agent["z"] + 0.4 * math.cos(yaw)), None)


def _let_go(room: Room, at: tuple[float, float, float], within: str | None) -> None:
    thing = room.things[room.held or ""]
    thing.at, thing.within, thing.flags["isPickedUp"], room.held = at, within, False, None


def _carry(room: Room) -> None:
    if room.held:
        yaw = math.radians(room.agent["yaw"])
        x, z = room.agent["x"] + 0.35 * math.sin(yaw), room.agent["z"] + 0.35 * math.cos(yaw)
        room.things[room.held].at = (x, room.agent["y"] + 0.3, z)


def _move(room: Room, command: Command) -> None:
    ahead = {"MoveAhead": 0, "MoveRight": 90, "MoveBack": 180, "MoveLeft": 270}[command["action"]]
    yaw, far = math.radians(room.agent["yaw"] + ahead), command.get("moveMagnitude") or 0.25
    _stand(room, room.agent["x"] + far * math.sin(yaw), room.agent["z"] + far * math.cos(yaw))


def _stand(room: Room, x: float, z: float) -> None:
    if not any(math.hypot(spot["x"] - x, spot["z"] - z) < 0.13 for spot in room.free()):
        raise Refused("something is in the way")
    room.agent |= {"x": x, "z": z}
    _carry(room)


def _turn(room: Room, command: Command) -> None:
    way = 1 if command["action"] == "RotateRight" else -1
    room.agent["yaw"] = (room.agent["yaw"] + way * (command.get("degrees") or 90.0)) % 360
    _carry(room)


def _look(room: Room, command: Command) -> None:
    way = 1 if command["action"] == "LookDown" else -1
    horizon = room.agent["horizon"] + way * (command.get("degrees") or 30.0)
    if not -30.5 <= horizon <= 60.5:
        raise Refused("the head does not turn that far")
    room.agent["horizon"] = horizon


def _teleport(room: Room, command: Command) -> None:
    _stand(room, command.get("x", room.agent["x"]), command.get("z", room.agent["z"]))
    room.agent["yaw"] = (command.get("rotation") or {}).get("y", room.agent["yaw"]) % 360
    room.agent["horizon"] = command.get("horizon", room.agent["horizon"])
    _carry(room)


def _poses(room: Room, command: Command) -> list[dict[str, Any]]:
    thing = room.things.get(command.get("objectId", ""))
    if thing is None:
        raise Refused("no such object is in the scene")
    found: list[dict[str, Any]] = []
    for spot in command.get("positions") or room.free():
        for yaw in command.get("rotations") or (0.0, 90.0, 180.0, 270.0):
            for horizon in command.get("horizons") or (0.0, 30.0):
                at = {**spot, "yaw": yaw, "horizon": horizon}
                if room.visible(thing, at) and room.distance(thing, at) > 0.3:
                    found.append({**spot, "rotation": yaw, "horizon": horizon, "standing": True})
    return found


def _add_camera(room: Room, command: Command) -> None:
    if "position" not in command or "rotation" not in command:
        raise Refused("a camera needs a position and a rotation", "MissingArguments")
    room.cameras.append({key: command[key] for key in ("position", "rotation", "fieldOfView") if key in command})


def _update_camera(room: Room, command: Command) -> None:
    index = command.get("thirdPartyCameraId", 0)
    if not 0 <= index < len(room.cameras):
        raise Refused(f"there is no camera {index}")
    room.cameras[index] |= {key: command[key] for key in ("position", "rotation", "fieldOfView") if key in command}


def _initialize(room: Room, command: Command) -> dict[str, float]:
    room.reach, room.fov = command.get("visibilityDistance", 1.5), command.get("fieldOfView", 90.0)
    return {"cameraNearPlane": 0.1, "cameraFarPlane": 20.0}


def _nothing(*_: object) -> None:
    return None


_ACTS: dict[str, Callable[[Room, Command], Any]] = {
    "Initialize": _initialize,
    "GetScenesInBuild": lambda room, command: SCENES,
    "Reset": lambda room, command: room.load(command["sceneName"]),
    "GetReachablePositions": lambda room, command: room.free(),
    "GetInteractablePoses": _poses,
    "PickupObject": _pick,
    "PutObject": _put,
    "DropHandObject": _drop,
    "TeleportFull": _teleport,
    "AddThirdPartyCamera": _add_camera,
    "UpdateThirdPartyCamera": _update_camera,
    **dict.fromkeys(("MoveAhead", "MoveBack", "MoveLeft", "MoveRight"), _move),
    **dict.fromkeys(("RotateRight", "RotateLeft"), _turn),
    **dict.fromkeys(("LookUp", "LookDown"), _look),
    **dict.fromkeys(("Pass", "ChangeQuality", "ChangeResolution", "InitialRandomSpawn"), _nothing),
}
