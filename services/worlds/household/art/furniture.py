"""Draws seats and appliances. Coordinates and ``place`` as in `storage`.

An appliance that is on shows this by shape and light: flames, running water, a beam, a picture, whirling blades.
"""

import math

from services.worlds.household.art.brush import Brush, Color, mix, shade
from services.worlds.household.art.storage import BRASS, STEEL, Place, leg, top_face
from services.worlds.household.state import Thing

INK: Color = (44, 42, 50)
WATER: Color = (110, 190, 245)


def sofa(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    for x in (-38, 38):
        b.rect(x - 3, 0, x + 3, 6, (70, 52, 44))
    b.rounded(-38, 20, 38, 66, 9, shade(c, 0.86))
    for x0, x1 in ((-35, -1), (1, 35)):
        b.rounded(x0, 30, x1, 62, 7, c, shade(c, 0.6))
        b.oval((x0 + x1) / 2, 49, 1.6, 1.6, shade(c, 0.6), None)
    b.rounded(-36, 5, 36, 24, 4, shade(c, 0.8))
    for x0, x1 in ((-34, -0.5), (0.5, 34)):
        b.rounded(x0, 19, x1, 32, 5, shade(c, 1.2), shade(c, 0.6))
    place(0, -24, 26)
    place(1, 24, 26)
    for x in (-39.5, 39.5):
        b.rounded(x - 5.5, 4, x + 5.5, 44, 5, shade(c, 1.05))


def bed(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    wood = (132, 92, 64)
    b.rounded(-44.5, 0, -37, 66, 3, wood)
    b.panel(-38, 6, 42, 16, wood)
    for x in (-34, 38):
        b.rect(x - 2.5, 0, x + 2.5, 7, shade(wood, 0.7))
    b.rounded(-38, 14, 43, 30, 4, (246, 242, 234))
    b.rounded(-38, 27, -19, 39, 5, (250, 248, 244), (170, 164, 160))
    b.poly([(-20, 33), (42, 33), (44, 30), (44, 10), (-14, 10), (-17, 22)], c)
    b.poly([(-20, 33), (-11, 33), (-8, 22), (-5, 10), (-14, 10), (-17, 22)], shade(c, 1.5), shade(c, 0.6))
    for x in (6, 20, 34):
        b.line([(x, 32), (x + 3, 11)], shade(c, 0.82), 1.2)
    b.rounded(40.5, 0, 45, 40, 2, wood)
    place(0, -24, 33)
    place(1, 27, 32)


def chair(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    h = hinge
    for x in (-15, 16):
        b.rect(x - 2, 6, x + 2, 34, shade(c, 0.55))
    for x in (-20, 20):
        leg(b, x, 36, c)
    for x in (-18, 18):
        b.panel(x - 2.5, 38, x + 2.5, 88, c)
    b.rounded(-19, 76, 19, 90, 4, shade(c, 1.1))
    for y in (52, 64):
        b.rect(-16, y, 16, y + 5, shade(c, 0.9))
    cushion = mix(c, (206, 72, 74), 0.75)
    b.poly([(-24, 38), (24, 38), (19, 48), (-19, 48)], shade(cushion, 1.25), shade(cushion, 0.5))
    b.rounded(-24, 33, 24, 39, 2, cushion)
    b.oval(h * 6, 43, 1.8, 1.2, shade(cushion, 0.7), None)


def stove(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.panel(-35, 0, 35, 54, c)
    b.rounded(-27, 6, 27, 36, 3, (52, 54, 62))
    b.poly([(-20, 10), (-8, 10), (8, 32), (-4, 32)], (78, 84, 96), None)
    b.rounded(-25, 37, 25, 40, 1, STEEL)
    for x in (-24, -8, 8, 24):
        b.oval(x, 47, 3.4, 3.4, (230, 80, 60) if thing.on and abs(x) == 8 else (70, 72, 80))
    b.panel(-36, 58, 36, 70, shade(c, 0.86))
    top_face(b, -38, 38, 53, shade(c, 0.72), 8)
    for x in (-17, 17):
        b.oval(x, 57.5, 12, 3, (240, 90, 40) if thing.on else (48, 48, 54), (30, 28, 30))
        if thing.on:
            b.glow(x, 66, 18, 18, (255, 190, 80), 0.7)
            b.poly(
                [(x - 11, 58), (x - 9, 70), (x - 5, 64), (x, 80), (x + 5, 64), (x + 9, 70), (x + 11, 58)],
                (255, 140, 30),
                (214, 76, 20),
            )
            b.poly([(x - 6, 58), (x - 3, 65), (x, 71), (x + 3, 65), (x + 6, 58)], (255, 232, 130), None)


def sink(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.poly([(-9, 0), (9, 0), (7, 38), (-7, 38)], shade(c, 0.82))
    b.rect(-6.5, 2, -3.5, 36, shade(c, 1.3), None)
    b.poly([(-38, 52), (38, 52), (31, 38), (20, 32), (-20, 32), (-31, 38)], c)
    b.poly([(-34, 48), (-22, 48), (-14, 36), (-22, 36)], shade(c, 1.5), None)
    b.oval(0, 53, 39, 6, shade(c, 1.15), shade(c, 0.55))
    b.oval(0, 52.4, 32, 4, (120, 190, 235) if thing.on else shade(c, 0.66), shade(c, 0.5))
    b.tube([(20, 56), (20, 82), (15, 88), (4, 88), (0, 83)], STEEL, 5)
    b.oval(27, 60, 3.6, 3.6, (226, 84, 74))
    if thing.on:
        b.poly([(-3.6, 82), (3.6, 82), (4.6, 53), (-4.6, 53)], WATER, (60, 130, 205))
        b.line([(-0.8, 80), (-0.8, 56)], (226, 244, 255), 1.6)
        for x, y, r in ((-10, 56, 3), (9, 57, 2.6), (-5, 60, 2), (6, 62, 1.8), (-14, 61, 1.8)):
            b.oval(x, y, r, r, (200, 232, 252), (80, 150, 215))


def toilet(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.panel(-23, 42, 23, 76, c)
    b.rounded(-25, 74, 25, 80, 2, shade(c, 1.3))
    b.rounded(12, 64, 19, 68, 1, STEEL)
    b.poly([(-13, 0), (13, 0), (14, 10), (22, 28), (-22, 28), (-14, 10)], c)
    b.poly([(-16, 24), (-9, 24), (-6, 4), (-10, 4)], shade(c, 1.5), None)
    seat = mix(c, (196, 150, 104), 0.6)
    if thing.open:
        b.oval(0, 58, 21, 24, seat)
        b.oval(0, 58, 16, 19, shade(seat, 1.35), None)
        b.oval(0, 32, 26, 8.5, shade(c, 1.2), shade(c, 0.5))
        b.oval(0, 31.6, 19, 5.4, (70, 120, 165), (50, 80, 110))
        b.oval(-4, 31, 8, 1.8, (150, 200, 230), None)
        return
    b.oval(0, 31, 26, 8, shade(c, 0.9), shade(c, 0.5))
    b.oval(0, 34, 26, 8, seat)
    b.oval(-4, 35.5, 16, 4, shade(seat, 1.3), None)


def lamp(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    if thing.on:
        b.glow(0, 60, 44, 62, (255, 240, 170), 0.75)
        b.poly([(-19, 68), (19, 68), (34, 1), (-34, 1)], (255, 240, 176), None)
        b.oval(0, 1, 34, 5, (255, 246, 200), None)
    b.oval(0, 2.5, 17, 4, (96, 74, 62))
    b.tube([(0, 4), (0, 70)], BRASS, 3)
    tone = (255, 244, 190) if thing.on else c
    b.poly([(-13, 97), (13, 97), (24, 66), (-24, 66)], tone, shade(c, 0.5))
    b.poly([(-13, 97), (-8, 97), (-16, 66), (-24, 66)], shade(tone, 1.35), None)
    for y in (69, 93):
        b.line(
            [(-23.5 + (y - 66) * 0.35, y), (23.5 - (y - 66) * 0.35, y)],
            mix(c, (190, 120, 40), 0.5) if thing.on else shade(c, 0.66),
            2,
        )
    b.line([(11, 66), (11, 54)], shade(BRASS, 0.7), 1.2)
    b.oval(11, 53, 1.8, 1.8, BRASS)


def tv(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    wood = (158, 118, 84)
    b.panel(-38, 3, 38, 24, wood)
    for x in (-18, 18):
        b.panel(x - 16, 6, x + 16, 21, wood, top=0.9, foot=1.1)
        b.oval(x, 14, 2, 2, BRASS)
    top_face(b, -41, 41, 24, wood, 6)
    b.rect(-5, 27, 5, 36, shade(c, 0.8))
    b.rounded(-43, 34, 43, 90, 4, c)
    if not thing.on:
        b.rect(-39, 38, 39, 86, (30, 32, 40), None)
        b.poly([(-30, 38), (-14, 38), (14, 86), (-2, 86)], (52, 56, 68), None)
        b.oval(36, 36, 1.2, 1.2, (220, 70, 60), None)
        return
    b.panel(-39, 38, 39, 86, (104, 186, 246), top=0.8, foot=1.5)
    b.oval(22, 74, 7, 7, (255, 226, 96), None)
    b.oval(-18, 75, 9, 4, (252, 252, 252), None)
    b.oval(-10, 77, 7, 4, (252, 252, 252), None)
    b.poly([(-39, 38), (-39, 52), (-20, 66), (-2, 50), (12, 60), (39, 46), (39, 38)], (92, 176, 92), None)
    b.poly([(-39, 38), (-39, 44), (-10, 48), (39, 40), (39, 38)], (66, 146, 78), None)
    b.oval(36, 36, 1.2, 1.2, (90, 240, 120), None)


def fan(b: Brush, thing: Thing, c: Color, hinge: int, place: Place) -> None:
    b.oval(0, 3, 19, 5, shade(c, 0.8))
    b.oval(0, 4.5, 19, 5, c)
    b.tube([(0, 6), (0, 46)], shade(c, 0.85), 5)
    x, y, r = 0.0, 66.0, 29.0
    b.oval(x, y, r, r, (222, 232, 238), shade(c, 0.5))
    if thing.on:
        for k, tone in ((25, (190, 212, 226)), (19, (226, 238, 244)), (13, (178, 204, 222))):
            b.oval(x, y, k, k, tone, None)
        for start in (20, 140, 260):
            arc = [
                (x + 21 * math.cos(math.radians(start + i * 12)), y + 21 * math.sin(math.radians(start + i * 12)))
                for i in range(6)
            ]
            b.line(arc, (255, 255, 255), 2.4)
        for dy in (-14, 0, 14):
            b.line([(31, y + dy), (36, y + dy + 2), (40, y + dy - 2), (44, y + dy)], (206, 230, 244), 2)
            b.line([(-31, y + dy), (-36, y + dy + 2), (-40, y + dy - 2), (-44, y + dy)], (206, 230, 244), 2)
    else:
        blade = mix(c, (60, 120, 190), 0.6)
        for turn in (90, 210, 330):
            a, s = math.radians(turn), math.radians(turn + 52)
            m = math.radians(turn + 26)
            b.poly(
                [
                    (x, y),
                    (x + 20 * math.cos(a), y + 20 * math.sin(a)),
                    (x + 25 * math.cos(m), y + 25 * math.sin(m)),
                    (x + 20 * math.cos(s), y + 20 * math.sin(s)),
                ],
                blade,
            )
    b.oval(x, y, 5, 5, INK)
    b.oval(-1.2, y + 1.4, 1.6, 1.6, (150, 156, 168), None)


FURNITURE = {
    "sofa": sofa,
    "bed": bed,
    "chair": chair,
    "stove": stove,
    "sink": sink,
    "toilet": toilet,
    "lamp": lamp,
    "tv": tv,
    "fan": fan,
}
