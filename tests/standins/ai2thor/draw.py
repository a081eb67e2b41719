"""Frames that show what the metadata says: striped walls, and every thing a block with the marks of its state."""

import math

import numpy as np
from numpy.typing import NDArray

from tests.standins.ai2thor.rooms import WALL, Room, Thing

Frame = NDArray[np.uint8]
EYES, CEILING = 0.675, 2.5
BODY = (90, 60, 150)


class Eye:
    """A pin-hole camera. ``pitch`` is downwards; degrees and metres."""

    def __init__(
        self, x: float, y: float, z: float, yaw: float, pitch: float, fov: float, width: int, height: int
    ) -> None:
        self.x, self.y, self.z, self.width, self.height = x, y, z, width, height
        self.yaw, self.pitch = math.radians(yaw), math.radians(pitch)
        self.focus = height / 2 / math.tan(math.radians(fov) / 2)
        self.horizon = height / 2 - self.focus * math.tan(self.pitch)

    def __call__(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Column, row and depth of a point; depth is negative behind the eye."""
        dx, dz = x - self.x, z - self.z
        depth = dx * math.sin(self.yaw) + dz * math.cos(self.yaw)
        aside = dx * math.cos(self.yaw) - dz * math.sin(self.yaw)
        far = max(depth, 1e-3)
        return self.width / 2 + self.focus * aside / far, self.horizon + self.focus * (self.y - y) / far, depth

    def walls(self, tint: int) -> Frame:
        columns = np.arange(self.width) - self.width / 2
        angles = self.yaw + np.arctan(columns / self.focus)
        east, north = np.sin(angles), np.cos(angles)
        with np.errstate(divide="ignore"):
            to_x, to_z = (np.where(east > 0, WALL - self.x, -WALL - self.x) / east,
                          np.where(north > 0, WALL - self.z, -WALL - self.z) / north)  # fmt: skip
        far = np.maximum(np.minimum(to_x, to_z), 0.05)
        along = np.where(to_x < to_z, self.z + far * north, self.x + far * east)
        shade = (np.floor(along * 5) % 2 * 14 + np.where(to_x < to_z, 20, 0)).astype(np.int16)
        depth = far * np.cos(angles - self.yaw)
        bottom = self.horizon + self.focus * self.y / depth
        top = self.horizon - self.focus * (CEILING - self.y) / depth
        rows = np.arange(self.height)[:, None]
        wall = np.stack([190 - shade, 185 - shade + tint % 20, 170 - shade + tint * 7 % 40], axis=-1).astype(np.uint8)
        frame: Frame = np.where((rows < bottom)[..., None], wall[None], np.uint8(110))
        frame[rows < top[None]] = (235, 235, 230)
        return frame


def look(room: Room, width: int, height: int) -> Frame:
    """The agent's own view."""
    at = room.agent
    eye = Eye(at["x"], at["y"] + EYES, at["z"], at["yaw"], at["horizon"], room.fov, width, height)
    frame = _things(room, eye)
    if room.held:
        thing = room.things[room.held]
        size = round(width * 0.16)
        _block(frame, thing, width - 1.5 * size, height - 1.2 * size, size)
    return frame


def look_from(room: Room, camera: dict[str, dict[str, float]], width: int, height: int) -> Frame:
    """A third-person camera's view, the agent in it."""
    at, turned = camera["position"], camera["rotation"]
    fov = float(camera.get("fieldOfView", 90.0))  # type: ignore[arg-type]
    return _things(room, Eye(at["x"], at["y"], at["z"], turned["y"], turned["x"], fov, width, height), body=True)


def _things(room: Room, eye: Eye, *, body: bool = False) -> Frame:
    frame = eye.walls(sum(map(ord, room.scene)))
    seen = [(eye(*thing.at), thing) for thing in room.things.values() if not room.hidden(thing)]
    agent = room.agent
    drawn: list[tuple[float, float, float, Thing | None]] = [
        (depth, u, v, thing) for (u, v, depth), thing in seen if depth > 0.1 and (body or thing.id != room.held)
    ]
    if body and (at := eye(agent["x"], agent["y"] - 0.2, agent["z"]))[2] > 0.1:
        drawn.append((at[2], at[0], at[1], None))
    for depth, u, v, thing in sorted(drawn, key=lambda one: (-one[0], one[3].id if one[3] else "")):
        if thing is None:
            wide = eye.focus * 0.18 / depth
            _fill(frame, u - wide, v - 3 * wide, u + wide, v + 3.5 * wide, BODY)
            _fill(frame, u - wide / 2, v - 4.2 * wide, u + wide / 2, v - 3 * wide, (240, 200, 170))
        else:
            _block(frame, thing, u, v, eye.focus * thing.size / depth)
    return frame


def _block(frame: Frame, thing: Thing, u: float, v: float, size: float) -> None:
    """A thing around a point, ``size`` pixels wide, with the marks of its state."""
    flags, half = thing.flags, max(size / 2, 1.5)
    colour = tuple(c // 2 for c in thing.colour) if flags["isCooked"] else thing.colour
    if flags["isBroken"] or thing.type.endswith("Cracked"):
        for dx, dy in ((-0.8, 0.6), (-0.2, 0.8), (0.4, 0.5), (0.9, 0.8), (0.1, 0.2)):
            _fill(
                frame,
                u + dx * half - half / 4,
                v + dy * half - half / 5,
                u + dx * half + half / 4,
                v + dy * half,
                colour,
            )
        return
    _fill(frame, u - half, v - half, u + half, v + half, colour)
    if thing.type.endswith("Sliced"):
        _fill(frame, u - half * 0.6, v - half * 0.8, u + half * 0.6, v + half * 0.8, (250, 245, 215))
    if flags["isOpen"]:
        _fill(frame, u - half * 0.8, v - half * 0.8, u + half * 0.8, v + half * 0.8, (25, 20, 20))
        _fill(frame, u + half, v - half * 1.1, u + half * 1.5, v + half * 1.1, tuple(min(255, c + 30) for c in colour))
    if flags["isToggled"]:
        _fill(frame, u - half * 0.5, v - half * 0.5, u + half * 0.5, v + half * 0.5, (255, 240, 60))
    if flags["isFilledWithLiquid"]:
        _fill(frame, u - half * 0.7, v - half * 0.9, u + half * 0.7, v - half * 0.3, (60, 170, 255))
    if flags["isDirty"]:
        for dx, dy in ((-0.5, 0.3), (0.3, 0.5), (0.0, 0.0)):
            _fill(
                frame,
                u + (dx - 0.15) * half,
                v + (dy - 0.15) * half,
                u + (dx + 0.2) * half,
                v + (dy + 0.2) * half,
                (90, 60, 20),
            )
    if flags["isUsedUp"]:
        _fill(frame, u - half * 0.7, v - half * 0.7, u + half * 0.7, v + half * 0.7, (200, 200, 200))


def _fill(frame: Frame, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, ...]) -> None:
    height, width, _ = frame.shape
    left, right = (round(min(max(x, 0), width)) for x in (x0, x1))
    top, bottom = (round(min(max(y, 0), height)) for y in (y0, y1))
    frame[top:bottom, left:right] = colour
