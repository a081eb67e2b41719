"""Renders the two views of a state: the robot's own, and an observer's.

Each view has one strip for the room: a background, and over it a column for each fixture with the objects in, on and
before it. A column is redrawn only when something in it changed. A frame is a window on the strip at the robot's
position, with the robot (or its hand and knees) in front.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from services.worlds.household.art.brush import Brush
from services.worlds.household.art.food import FOOD
from services.worlds.household.art.furniture import FURNITURE
from services.worlds.household.art.robot import hand, knees, robot
from services.worlds.household.art.room import paint_room
from services.worlds.household.art.storage import STORAGE
from services.worlds.household.art.things import THINGS
from services.worlds.household.look import Look, draw_look
from services.worlds.household.state import State, Thing
from services.worlds.household.tasks import Episode
from services.worlds.world import Frame

PITCH = 92.0
"""Units between fixtures; each fixture draws within half of it to either side."""
SMALL = 1.1
"""The scale at which small objects are drawn, relative to their true size."""
_ART = {**STORAGE, **FURNITURE}
_SMALL_ART = {**FOOD, **THINGS}
_SEATS = {"sofa": (0.0, 34.0), "bed": (1.0, 36.0), "chair": (0.0, 46.0), "toilet": (0.0, 38.0)}
"""The robot's seat on each fixture, in units from the fixture's foot."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Layout of a frame 128 pixels wide. ``scale``: pixels per unit; ``foot`` and ``horizon``: rows of the fixtures'
    feet and of the floor's edge; ``floor``: positions on the floor before a fixture, if the robot stands on the
    left."""

    scale: float
    foot: float
    horizon: float
    floor: tuple[tuple[float, float], ...]


FIRST = View(scale=1.06, foot=106, horizon=97, floor=((34, -15), (7, -15), (-20, -15)))
THIRD = View(scale=0.59, foot=80, horizon=75, floor=((29, -15), (0, -15), (-29, -15)))
_STAND = (33.0, 126.0)
"""The robot's position in the third-person view: pixels from the middle, and the row of its feet."""
_ROBOT = 0.56
"""Pixels per unit of the standing robot, which is nearer than the fixtures."""
_LOW = 15.0
"""How many pixels the robot's eye moves down when it sits."""


class Scene:
    """Draws the states of one episode. ``names`` are its fixtures in order; frames are ``size`` x ``size`` pixels.

    Not thread-safe, because it caches drawings.
    """

    def __init__(self, look: Look, names: tuple[str, ...], room: str, size: int = 128) -> None:
        self.look, self.size = look, size
        self._fine = 2 if size <= 192 else 1
        self._first = _Strip(look, names, room, FIRST, size * self._fine, _LOW, smooth=self._fine == 1)
        self._third = _Strip(look, names, room, THIRD, size * self._fine, 0, smooth=self._fine == 1)
        self._light = _light(size, look.gain, look.glare)
        self._noise = _noise(size, look.seed % 8) * np.float32(look.noise)

    def first_person(self, state: State) -> Frame:
        """Returns the robot's view: size x size x 3."""
        strip, look = self._first, self.look
        window = strip.window(state, low=_LOW if state.seated else 0.0)
        b = strip.brush(window, strip.middle, strip.row(128), strip.pixel)
        if state.seated:
            seat = state.things[state.location].name
            knees(b, look.robot, look.colors[seat], arms=seat == "sofa")
        hand(b.at(look.side * 41, 18), look.robot, look.side, strip.carry(state.held))
        return self._finish(window, strip)

    def third_person(self, state: State) -> Frame:
        """Returns an observer's view of the robot in the room: size x size x 3."""
        strip, look = self._third, self.look
        window = strip.window(state)
        if state.seated:
            x, y = _SEATS[state.things[state.location].name]
            spot, scale = (strip.middle + x * strip.sx, strip.foot - y * strip.sy), strip.sx * 0.95
        else:
            spot = (strip.middle + look.side * _STAND[0] * strip.pixel, strip.row(_STAND[1]))
            scale = _ROBOT * look.zoom * strip.pixel
        b = strip.brush(window, *spot, scale)
        robot(b, look.robot, -look.side, strip.carry(state.held), seated=state.seated)
        return self._finish(window, strip)

    def _finish(self, window: NDArray[np.uint8], strip: "_Strip") -> Frame:
        side = self.size * self._fine
        if strip.pad:
            turn = cv2.getRotationMatrix2D((window.shape[1] / 2, window.shape[0] / 2), self.look.tilt, 1)
            turn[:, 2] -= strip.pad
            flags = cv2.INTER_NEAREST if self._fine > 1 else cv2.INTER_LINEAR
            turned = np.empty((side, side, 3), np.uint8)
            cv2.warpAffine(window, turn, (side, side), dst=turned, flags=flags)
            window = turned
        if self._fine > 1:
            small = np.empty((self.size, self.size, 3), np.uint8)
            cv2.resize(window, (self.size, self.size), dst=small, interpolation=cv2.INTER_AREA)
            window = small
        lit = window * self._light
        lit += self._noise
        np.clip(lit, 0, 255, out=lit)
        return lit.astype(np.uint8)


def make_scene(episode: Episode, shift: float, size: int = 128) -> Scene:
    """Returns the scene of an episode at a visual shift (0..1)."""
    names = tuple(thing.name for thing in episode.state.things)
    look = draw_look(episode.seed, episode.domain, shift, names, episode.room)
    return Scene(look, tuple(thing.name for thing in episode.state.fixtures), episode.room, size)


class _Strip:
    """One view's room, wide enough for a window at every fixture, with ``pad`` pixels around it for tilting."""

    def __init__(
        self, look: Look, names: tuple[str, ...], room: str, view: View, side: int, extra: float, *, smooth: bool
    ) -> None:
        self.look, self.view, self.names, self.side, self.smooth = look, view, names, side, smooth
        self.pixel = side / 128
        self.pad = math.ceil(math.tan(math.radians(abs(look.tilt))) * side / 2) + 2 if abs(look.tilt) > 0.3 else 0
        scale = view.scale * look.zoom * self.pixel
        self.sx, self.sy = scale * look.stretch[0], scale * look.stretch[1]
        self.edge = max(1, round(self.pixel * 0.8 * (1 if view.scale > 0.8 else 0.8)))
        self.pitch = round(PITCH * self.sx)
        self.middle = side / 2 + self.pad
        self.foot = self.row(view.foot + look.drop)
        width = side + 2 * self.pad + self.pitch * (len(names) - 1)
        height = side + 2 * self.pad + round(extra * self.pixel)
        horizon = self.row(view.horizon + look.drop)
        self._room = paint_room(width, height, horizon, scale, look, room)
        self._image = self._room.copy()
        self._drawn: list[tuple[Thing, ...] | None] = [None] * len(names)

    def row(self, y: float) -> float:
        """Converts a row of a 128-pixel frame to a row of the window."""
        return self.pad + y * self.pixel

    def brush(self, image: NDArray[np.uint8], x0: float, y0: float, sx: float, sy: float | None = None) -> Brush:
        return Brush(image, x0, y0, sx, sy, edge=self.edge, smooth=self.smooth)

    def carry(self, held: Thing | None) -> Callable[[Brush], None] | None:
        """Returns a function that draws the held object; None if the hand is empty."""
        if held is None:
            return None
        return lambda b: _SMALL_ART[held.name](b, held, self.look.colors[held.name])

    def window(self, state: State, low: float = 0.0) -> NDArray[np.uint8]:
        """Returns a copy of the strip around the robot's position, ``low`` pixels (of 128) further down."""
        span = self.side + 2 * self.pad
        left = state.location * self.pitch
        for i in range(len(self.names)):
            center = self.middle + i * self.pitch
            if left - self.pitch / 2 < center < left + span + self.pitch / 2:
                self._column(state, i)
        top = round(low * self.pixel)
        return self._image[top : top + span, left : left + span].copy()

    def _column(self, state: State, i: int) -> None:
        fixture = state.things[i]
        lying = [thing for thing in state.things[len(self.names) :] if thing.at == i]
        content = (fixture, *lying)
        if self._drawn[i] == content:
            return
        self._drawn[i] = content
        center = self.middle + i * self.pitch
        left = max(0, round(center - self.pitch / 2))
        columns = slice(left, round(center + self.pitch / 2))
        image = self._image[:, columns]
        image[...] = self._room[:, columns]
        b = self.brush(image, center - left, self.foot, self.sx, self.sy)
        b.shadow(3, 46, 45, 64, 0.14)
        b.shadow(3, 1, 44, 7, 0.5)
        slots = {thing.slot: thing for thing in lying if not thing.floor}

        def place(slot: int, x: float, y: float) -> None:
            if thing := slots.get(slot):
                self._small(b, thing, x, y)

        _ART[fixture.name](b, fixture, self.look.colors[fixture.name], self.look.hinge, place)
        for thing in sorted(lying, key=lambda thing: thing.slot):
            if thing.floor:
                x, y = self.view.floor[thing.slot]
                self._small(b, thing, -self.look.side * x, y)

    def _small(self, b: Brush, thing: Thing, x: float, y: float) -> None:
        spot = b.at(x, y, SMALL, square=True)
        spot.shadow(1, 0.5, 14, 3, 0.4)
        _SMALL_ART[thing.name](spot, thing, self.look.colors[thing.name])


@lru_cache(maxsize=16)
def _noise(size: int, which: int) -> NDArray[np.float32]:
    return np.random.default_rng(which).standard_normal((size, size, 3), np.float32)


@lru_cache(maxsize=8)
def _vignette(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    return 1.04 - 0.11 * (x * x + y * y), x + y


def _light(size: int, gain: tuple[float, float, float], glare: float) -> NDArray[np.float32]:
    """Returns the factor of each pixel: the light's colour, brighter towards its source."""
    vignette, across = _vignette(size)
    light = vignette + np.float32(0.05 - 0.1 * glare) * across
    return np.stack([light * np.float32(part) for part in gain], axis=2).astype(np.float32)
