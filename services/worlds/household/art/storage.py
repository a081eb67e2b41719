"""Draws furniture that holds objects. Coordinates: x within 45 of the middle, y up from the foot at the front.

Each function calls ``place(slot, x, y)`` for the object in that slot, between drawing its own back and front.
"""

from collections.abc import Callable

from services.worlds.household.art.brush import Brush, Color, mix, shade
from services.worlds.household.state import Thing

Place = Callable[[int, float, float], None]

BRASS: Color = (232, 200, 120)
STEEL: Color = (220, 226, 232)
DEPTH = 7.0
"""The drawn height of the top face of a waist-high object."""


def top_face(b: Brush, x0: float, x1: float, y: float, c: Color, depth: float = DEPTH) -> None:
    b.poly(
        [(x0, y), (x1, y), (x1 - depth * 0.6, y + depth), (x0 + depth * 0.6, y + depth)], shade(c, 1.28), shade(c, 0.5)
    )


def leg(b: Brush, x: float, y: float, c: Color) -> None:
    b.panel(x - 2.6, 0, x + 2.6, y, c, top=0.75, foot=1.0)


def fridge(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.rect(-28, -2, -20, 2, (60, 60, 66))
    b.rect(20, -2, 28, 2, (60, 60, 66))
    if not thing.open:
        b.rounded(-31, 0, 31, 98, 5, c)
        b.panel(-29, 2, 29, 60, c, top=1.12, foot=0.92)
        b.panel(-29, 63, 29, 96, c, top=1.2, foot=1.0)
        for y0, y1 in ((40, 57), (66, 80)):
            b.rounded(-hinge * 23 - 2, y0, -hinge * 23 + 2, y1, 2, STEEL, (90, 94, 104))
        b.rounded(hinge * 8 - 6, 84, hinge * 8 + 6, 90, 1, shade(c, 0.7), None)
        return
    b.rounded(-31, 0, 31, 98, 5, c)
    b.panel(-27, 4, 27, 94, (226, 240, 250), top=1.6, foot=0.95)
    b.glow(0, 72, 26, 22, (255, 255, 240), 0.8)
    b.panel(-27, 4, 27, 10, (190, 212, 230))
    for y in (49, 80):
        b.rect(-27, y - 2.5, 27, y, (168, 196, 216), (110, 140, 165))
    for slot, (x, y) in enumerate(((-13.5, 49.5), (13.5, 49.5), (-13.5, 10.5), (13.5, 10.5))):
        place(slot, x, y)
    h = hinge
    b.poly([(h * 31, 98), (h * 44, 93), (h * 44, -6), (h * 31, 0)], shade(c, 0.8))
    b.poly([(h * 33, 92), (h * 42, 88), (h * 42, 0), (h * 33, 4)], (206, 222, 234), None)
    for y in (22, 52):
        b.poly([(h * 33, y), (h * 42, y - 2), (h * 42, y + 7), (h * 33, y + 8)], (150, 186, 212), None)


def cabinet(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    for x in (-28, 28):
        b.rect(x - 4, 0, x + 4, 5, shade(c, 0.55))
    b.panel(-33, 4, 33, 86, c)
    b.rounded(-35, 84, 35, 90, 2, shade(c, 1.2))
    if not thing.open:
        for x0, x1 in ((-31, -0.6), (0.6, 31)):
            b.panel(x0, 6, x1, 82, c, top=1.15, foot=0.95)
            b.panel(x0 + 5, 12, x1 - 5, 76, shade(c, 0.85), top=0.95, foot=1.1)
        for x in (-5, 5):
            b.oval(x, 45, 2.4, 2.4, BRASS)
        return
    inside = shade(c, 0.42)
    b.panel(-29, 7, 29, 82, inside, top=0.7, foot=1.35)
    for y in (8.5, 46):
        b.rect(-29, y - 3, 29, y, shade(c, 0.95))
    for slot, (x, y) in enumerate(((-14.5, 46.5), (14.5, 46.5), (-14.5, 9), (14.5, 9))):
        place(slot, x, y)
    for k in (-1, 1):
        b.poly([(k * 33, 84), (k * 44.5, 79), (k * 44.5, 0), (k * 33, 5)], shade(c, 1.2), shade(c, 0.5))
        b.poly([(k * 36, 76), (k * 42, 73), (k * 42, 9), (k * 36, 12)], shade(c, 0.95), None)


def microwave(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    wood = (150, 112, 78)
    b.panel(-34, 0, 34, 30, wood)
    b.line([(0, 2), (0, 28)], shade(wood, 0.6), 1.2)
    for x in (-5, 5):
        b.rect(x - 1, 12, x + 1, 19, BRASS, None)
    top_face(b, -38, 38, 30, wood, 5)
    b.rounded(-38, 33, 38, 78, 4, c)
    b.panel(24.5, 36, 35.5, 75, shade(c, 0.8))
    b.rect(26, 65, 34, 72, (96, 240, 130) if thing.on else (34, 42, 40), None)
    for y in (58, 51, 44):
        for x in (27.8, 32.2):
            b.oval(x, y, 1.5, 1.5, (225, 228, 232), None)
    light = (255, 214, 96)
    if not thing.open:
        b.rounded(-35, 36, 22, 75, 3, shade(c, 0.7))
        b.rounded(-30, 41, 15, 70, 2, light if thing.on else (40, 46, 56), (25, 25, 30))
        if thing.on:
            b.glow(-7, 56, 24, 17, (255, 248, 205), 0.95)
            b.oval(-7, 45, 15, 2.2, (212, 150, 50), None)
        else:
            b.poly([(-26, 44), (-12, 44), (2, 67), (-12, 67)], (70, 80, 94), None)
        b.rounded(17.5, 40, 20, 71, 1, STEEL)
        return
    b.rounded(-34, 37, 22, 75, 2, light if thing.on else (236, 228, 210), (60, 56, 54))
    b.panel(-32, 39, 20, 44, (196, 188, 170))
    b.oval(-6, 41, 22, 2.6, (222, 232, 238), (150, 160, 170))
    place(0, -19.5, 40.5)
    place(1, 6.5, 40.5)
    b.poly([(-38, 78), (-45, 72), (-45, 28), (-38, 33)], shade(c, 0.62))
    b.poly([(-39.5, 70), (-43.5, 66), (-43.5, 36), (-39.5, 40)], (70, 78, 90), None)


def drawer(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    for x in (-30, 30):
        b.rect(x - 3, 0, x + 3, 5, shade(c, 0.5))
    b.panel(-36, 4, 36, 62, c)
    top_face(b, -38, 38, 62, c)
    for y in (6, 24):
        b.panel(-33, y, 33, y + 15.5, c, top=1.2, foot=0.95)
        for x in (-15, 15):
            b.oval(x, y + 8, 2.4, 2.4, BRASS)
    if not thing.open:
        b.panel(-33, 42, 33, 59.5, c, top=1.2, foot=0.95)
        for x in (-15, 15):
            b.oval(x, 51, 2.4, 2.4, BRASS)
        return
    b.poly([(-33, 60), (33, 60), (41, 41), (-41, 41)], shade(c, 0.32))
    b.poly([(-33, 60), (-41, 41), (-38, 41), (-30, 60)], shade(c, 0.75), None)
    b.poly([(33, 60), (41, 41), (38, 41), (30, 60)], shade(c, 0.75), None)
    for slot, x in enumerate((-25, 0, 25)):
        place(slot, x, 43)
    b.panel(-42, 22, 42, 42, c, top=1.35, foot=1.05)
    for x in (-18, 18):
        b.oval(x, 32, 2.8, 2.8, BRASS)


def table(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    for x in (-31, 31):
        b.rect(x - 2, 8, x + 2, 42, shade(c, 0.6))
    for x in (-37, 37):
        leg(b, x, 42, c)
    top_face(b, -43, 43, 45, c, 10)
    b.panel(-43, 39, 43, 45, c, top=1.1, foot=0.8)
    _on_top(place, 48)


def counter(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    front = mix(c, (112, 140, 150), 0.55)
    b.panel(-40, 0, 40, 5, shade(front, 0.5))
    b.panel(-41, 4, 41, 46, front)
    for x0, x1 in ((-39, -14), (-12.5, 12.5), (14, 39)):
        b.panel(x0, 7, x1, 30, front, top=1.2, foot=1.0)
        b.panel(x0, 32, x1, 44, front, top=1.2, foot=1.0)
        b.line([((x0 + x1) / 2 - 4, 38), ((x0 + x1) / 2 + 4, 38)], STEEL, 2)
        b.line([((x0 + x1) / 2 - 4, 27), ((x0 + x1) / 2 + 4, 27)], STEEL, 2)
    top_face(b, -44, 44, 50, c, 9)
    b.panel(-44, 45.5, 44, 50, c, top=1.05, foot=0.85)
    _on_top(place, 52.5)


def shelf(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.panel(-36, 0, 36, 92, shade(c, 0.5), top=0.9, foot=1.2)
    for x in (-37, 37):
        b.panel(x - 2.5, 0, x + 2.5, 95, c)
    for y in (4, 47, 92):
        b.panel(-36, y - 4, 36, y, shade(c, 1.1))
    for slot, (x, y) in enumerate(((-17, 47.5), (17, 47.5), (-17, 4.5), (17, 4.5))):
        place(slot, x, y)


def desk(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.rect(-34, 6, -30, 44, shade(c, 0.55))
    leg(b, -39, 44, shade(c, 0.85))
    b.rect(-38, 12, 8, 15, shade(c, 0.5))
    b.panel(8, 0, 41, 44, shade(c, 0.85))
    for y in (3, 17, 31):
        b.panel(10.5, y, 38.5, y + 11.5, c, top=1.2, foot=1.0)
        b.line([(20, y + 6.5), (29, y + 6.5)], BRASS, 2)
    top_face(b, -44, 44, 47, c, 9)
    b.panel(-44, 43, 44, 47, c, top=1.15, foot=0.85)
    _on_top(place, 49.5)


def _on_top(place: Place, y: float) -> None:
    place(0, -28, y)
    place(1, 28, y)
    place(2, 0, y - 1)


STORAGE = {
    "fridge": fridge,
    "cabinet": cabinet,
    "microwave": microwave,
    "drawer": drawer,
    "table": table,
    "counter": counter,
    "shelf": shelf,
    "desk": desk,
}
