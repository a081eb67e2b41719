"""Draws the two views of a scene graph. Uses the household's drawings for classes that it has."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from services.worlds.household.art.brush import Brush
from services.worlds.household.art.food import FOOD
from services.worlds.household.art.furniture import FURNITURE
from services.worlds.household.art.robot import hand, knees, robot
from services.worlds.household.art.room import paint_room
from services.worlds.household.art.storage import STORAGE
from services.worlds.household.art.things import THINGS
from services.worlds.household.look import COLORS, Look, draw_look
from services.worlds.household.state import Thing
from services.worlds.virtualhome import labels
from services.worlds.virtualhome.graph import Graph, Node
from services.worlds.virtualhome.layout import Row
from services.worlds.world import Frame

PITCH = 92.0
"""Units between fixtures; each fixture draws within half of it to either side."""
_FIXTURES = {**STORAGE, **FURNITURE}
_SMALLS = {**FOOD, **THINGS}
_SAME = {
    "kitchentable": "table", "coffeetable": "table", "diningtable": "table", "kitchencounter": "counter",
    "bathroomcounter": "counter", "kitchencabinet": "cabinet", "bathroomcabinet": "cabinet", "cupboard": "cabinet",
    "closet": "cabinet", "wallshelf": "shelf", "bookshelf": "shelf", "nightstand": "drawer", "dresser": "drawer",
    "couch": "sofa", "tablelamp": "lamp", "floorlamp": "lamp", "lightswitch": "lamp", "breadslice": "bread",
    "dishbowl": "bowl", "cutleryknife": "knife", "cellphone": "phone", "remotecontrol": "remote", "magazine": "book",
    "wineglass": "bottle", "wine": "bottle", "waterglass": "bottle", "coffeepot": "mug", "washcloth": "towel",
}  # fmt: skip
"""Classes of VirtualHome that look like one of the household's."""
_ROOMS = {"livingroom": "living room", "kitchen": "kitchen", "bedroom": "bedroom", "bathroom": "bathroom"}
_SEATS = {"sofa": (0.0, 34.0), "bed": (1.0, 36.0), "chair": (0.0, 46.0), "toilet": (0.0, 38.0)}
_FLOOR = (-30.0, -2.0, 26.0)
_LOW = 15.0
"""How many pixels (of 128) the eye moves down when the character sits."""


class View:
    """Draws one scene; ``size`` x ``size`` pixels. Not thread-safe, because it caches the empty rooms."""

    def __init__(self, scene: int, size: int) -> None:
        self._scene, self._size = scene, size
        self._fine = 2 if size <= 192 else 1
        self._side = size * self._fine
        self._pixel = self._side / 128
        self._look = cache(self._draw_look)
        self._background = cache(self._paint)

    def first_person(self, graph: Graph, at: int | None) -> Frame:
        """Returns the character's view: size x size x 3."""
        row = Row(graph, at)
        low = _LOW if graph.seat is not None else 0.0
        image, look = self._wall(graph, row, scale=1.06, foot=106, horizon=97, low=low, span=1)
        b = self._brush(image, self._side / 2, self._side, self._pixel)
        if graph.seat is not None:
            seat = _known(graph.seat, _FIXTURES)
            knees(b, look.robot, look.colors.get(seat or "", labels.color_of(graph.seat.class_name)), seat == "sofa")
        for side, held in zip((look.side, -look.side), (*graph.held, None), strict=False):
            if held is not None or side == look.side:
                hand(b.at(side * 41, 18), look.robot, side, self._carry(held, look))
        return self._finish(image)

    def third_person(self, graph: Graph, at: int | None) -> Frame:
        """Returns an observer's view of the character in the room: size x size x 3."""
        row = Row(graph, at)
        image, look = self._wall(graph, row, scale=0.59, foot=80, horizon=75, low=0.0, span=2)
        held = graph.held
        if graph.seat is not None:
            x, y = _SEATS.get(_known(graph.seat, _FIXTURES) or "", (0.0, 36.0))
            scale = 0.59 * self._pixel
            b = self._brush(image, self._side / 2 + x * scale, 80 * self._pixel - y * scale, scale)
        else:
            b = self._brush(image, self._side / 2 + look.side * 33 * self._pixel, 126 * self._pixel, 0.56 * self._pixel)
        carry = self._carry(held[0] if held else None, look)
        robot(b, look.robot, -look.side, carry, seated=graph.seat is not None)
        if len(held) > 1 and (second := self._carry(held[1], look)) is not None:
            second(b.at(look.side * 18, 15, 1.3))
        return self._finish(image)

    def _wall(
        self, graph: Graph, row: Row, *, scale: float, foot: float, horizon: float, low: float, span: int
    ) -> tuple[NDArray[np.uint8], Look]:
        """Draws the room with the fixtures around the character, seen from ``low`` pixels (of 128) further down."""
        room = _ROOMS.get(row.room.class_name if row.room else "", "living room")
        look = self._look(room)
        unit, down = scale * self._pixel, round(low * self._pixel)
        wide = self._background(room, scale, horizon)
        left = round(row.here * PITCH * unit) % self._side
        image = wide[down : down + self._side, left : left + self._side].copy()
        for i in range(max(0, row.here - span), min(len(row.fixtures), row.here + span + 1)):
            x = self._side / 2 + (i - row.here) * PITCH * unit
            self._fixture(self._brush(image, x, foot * self._pixel - down, unit), graph, row, i, look)
        return image, look

    def _fixture(self, b: Brush, graph: Graph, row: Row, i: int, look: Look) -> None:
        node = row.fixtures[i]
        b.shadow(3, 46, 45, 64, 0.14)
        b.shadow(3, 1, 44, 7, 0.5)
        waiting = [thing for thing in row.carried[i] if graph.shut(thing) is None]
        places: list[tuple[float, float]] = []

        def place(slot: int, x: float, y: float) -> None:
            places.append((x, y))
            if slot < len(waiting):
                self._small(b, waiting[slot], x, y, look)

        name = _known(node, _FIXTURES)
        if name is None:
            labels.fixture(b, node, place)
        else:
            _FIXTURES[name](b, _thing(name, node), look.colors[name], look.hinge, place)
        for thing, x in zip(waiting[len(places) :], _FLOOR, strict=False):
            self._small(b, thing, x, 56, look)  # no slots left: along its top
        for thing, x in zip(row.floor[i], _FLOOR, strict=False):
            self._small(b, thing, -look.side * x, -15, look)

    def _small(self, b: Brush, node: Node, x: float, y: float, look: Look) -> None:
        spot = b.at(x, y, 1.1, square=True)
        spot.shadow(1, 0.5, 14, 3, 0.4)
        if draw := self._carry(node, look):
            draw(spot)

    def _carry(self, node: Node | None, look: Look) -> Callable[[Brush], None] | None:
        """Returns a function that draws a small object on the brush's origin; None without one."""
        if node is None:
            return None
        name = _known(node, _SMALLS)
        if name is None:
            return lambda b: labels.small(b, node)
        return lambda b: _SMALLS[name](b, _thing(name, node), look.colors[name])

    def _brush(self, image: NDArray[np.uint8], x: float, y: float, scale: float) -> Brush:
        edge = max(1, round(self._pixel * 0.8))
        return Brush(image, x, y, scale, edge=edge, smooth=self._fine == 1)

    def _draw_look(self, room: str) -> Look:
        return draw_look(self._scene, "virtualhome", 0.25, tuple(COLORS), room)

    def _paint(self, room: str, scale: float, horizon: float) -> NDArray[np.uint8]:
        height = self._side + round(_LOW * self._pixel)
        return paint_room(2 * self._side, height, horizon * self._pixel, scale * self._pixel, self._look(room), room)

    def _finish(self, image: NDArray[np.uint8]) -> Frame:
        if self._fine == 1:
            return image
        small = np.empty((self._size, self._size, 3), np.uint8)
        cv2.resize(image, (self._size, self._size), dst=small, interpolation=cv2.INTER_AREA)
        return small


def _known(node: Node, drawn: dict[str, Callable[..., None]]) -> str | None:
    name = _SAME.get(node.class_name, node.class_name)
    return name if name in drawn else None


def _thing(name: str, node: Node) -> Thing:
    return Thing(name=name, at=0, open="OPEN" in node.states, on="ON" in node.states)
