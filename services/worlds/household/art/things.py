"""Draws small household objects: closed or open, off or on, whole or in pieces.

Coordinates fit a box 26 wide and 28 high that stands on its origin. Broken objects are low, wide and in pieces.
"""

from services.worlds.household.art.brush import Brush, Color, mix, shade
from services.worlds.household.state import Thing

STEEL: Color = (198, 205, 212)
INK: Color = (46, 44, 54)
PAPER: Color = (250, 246, 232)


def _chips(b: Brush, c: Color, spots: tuple[tuple[float, float], ...]) -> None:
    for x, y in spots:
        b.poly([(x - 1.8, y), (x + 1.6, y + 0.4), (x + 0.2, y + 3)], shade(c, 1.15))


def knife(b: Brush, thing: Thing, c: Color) -> None:
    blade = mix(c, (235, 242, 248), 0.5)
    b.poly([(-13, 12), (-9, 7), (4, 1.5), (6.5, 6), (-5, 12.5)], blade, shade(c, 0.45))
    b.line([(-10, 9), (4, 3.2)], shade(blade, 1.6), 1)
    b.poly([(4, 1), (6.5, 6.5), (13.5, 3.5), (12, -1)], (88, 52, 40))
    for x, y in ((7.2, 3.2), (10.4, 1.8)):
        b.oval(x, y, 0.9, 0.9, STEEL, None)


def mug(b: Brush, thing: Thing, c: Color) -> None:
    inner = shade(c, 0.45)
    if thing.broken:
        b.poly([(-13, 1), (-3, 0), (-4.5, 5), (-2, 8), (-5, 12), (-10, 9)], c)
        b.poly([(3, 0), (9, 0), (12, 7), (8, 12), (5, 8), (6, 5)], shade(c, 0.8))
        b.poly([(3, 0), (6, 5), (5, 8), (3.5, 5)], inner, None)
        b.line([(10.5, 2), (13.5, 3), (13, 6)], c, 2)
        _chips(b, c, ((-1, 0), (0.5, 4)))
        return
    b.oval(9, 9.5, 5, 5.6, c, shade(c, 0.5))
    b.oval(9, 9.5, 2.3, 3, mix(c, (60, 50, 60), 0.7), None)
    b.rounded(-9.5, 0, 8, 19, 3, c)
    b.rect(-7.5, 2, -4.5, 16, shade(c, 1.35), None)
    b.oval(-0.7, 18.5, 8.7, 2.8, shade(c, 1.25), shade(c, 0.5))
    b.oval(-0.7, 18.3, 6.6, 1.7, (92, 58, 38), None)


def bowl(b: Brush, thing: Thing, c: Color) -> None:
    if thing.broken:
        b.poly([(-13, 9), (-11, 2), (-5, 0), (-6, 3), (-3, 5), (-5, 8)], c)
        b.poly([(13, 8), (10, 1), (4, 0), (5, 4), (2, 6), (5, 10)], shade(c, 0.85))
        b.poly([(-2.5, 0), (2, 0), (1, 4), (-2, 3)], shade(c, 1.2))
        _chips(b, c, ((-1.5, 5.5), (0.5, 8)))
        return
    b.poly([(-13, 13), (13, 13), (10.5, 6), (6, 1), (-6, 1), (-10.5, 6)], c)
    b.rect(-5, 0, 5, 1.6, shade(c, 0.7))
    b.poly([(-11.5, 9.6), (11.5, 9.6), (11, 7.4), (-11, 7.4)], shade(c, 0.62), None)
    b.oval(0, 13, 13, 3.4, shade(c, 1.4), shade(c, 0.5))
    b.oval(0, 12.6, 10.4, 2.2, shade(c, 0.72), None)


def plate(b: Brush, thing: Thing, c: Color) -> None:
    rim = mix(c, (70, 110, 190), 0.75)
    if thing.broken:
        b.poly([(-13, 2), (-4, 0), (-2, 7), (-6, 12), (-11, 9)], c, rim)
        b.poly([(0, 0), (7, 1), (4, 8), (1, 11), (0.5, 5)], shade(c, 0.92), rim)
        b.poly([(8, 0), (13, 3), (12.5, 8), (8, 9.5), (6.5, 6)], c, rim)
        _chips(b, c, ((-3, 0), (6.5, 0)))
        return
    b.oval(0, 12, 12.5, 12, c, rim)
    b.oval(0, 12, 9.6, 9.2, rim, None)
    b.oval(0, 12, 8.2, 7.8, shade(c, 0.95), None)
    b.oval(-2.5, 14.5, 3.5, 3, shade(c, 1.6), None)


def bottle(b: Brush, thing: Thing, c: Color) -> None:
    if thing.broken:
        b.poly([(-12, 0), (-3, 0), (-3, 4), (-5, 9), (-7, 5), (-9, 10), (-12, 6)], c)
        b.poly([(3, 0), (5, 5), (8, 2), (13, 2), (13, 6), (7, 7), (2, 4)], shade(c, 1.2))
        b.rect(11.5, 1.6, 13.5, 6.4, (214, 178, 118))
        _chips(b, c, ((-1, 0), (1, 6), (8, 9)))
        return
    b.poly([(-6.5, 0), (6.5, 0), (6.5, 14), (2.8, 18.5), (2.8, 25), (-2.8, 25), (-2.8, 18.5), (-6.5, 14)], c)
    b.rect(-4.6, 2, -2.6, 14, shade(c, 1.6), None)
    b.rect(-6.5, 4.5, 6.5, 11, PAPER, shade(c, 0.5))
    b.rect(-3.2, 24, 3.2, 27.5, (214, 178, 118))


def vase(b: Brush, thing: Thing, c: Color) -> None:
    petal, heart = (250, 214, 90), (150, 90, 40)
    if thing.broken:
        b.poly([(-13, 0), (-4, 0), (-6, 4), (-3, 7), (-8, 11), (-12, 7)], c)
        b.poly([(4, 0), (10, 0), (13, 6), (8, 10), (6, 6), (7, 3)], shade(c, 0.8))
        b.line([(-4, 1), (4, 4), (9, 12)], (80, 140, 70), 1.6)
        b.oval(9.5, 13, 3, 3, petal)
        b.oval(9.5, 13, 1.2, 1.2, heart, None)
        _chips(b, c, ((0, 0), (-2, 8)))
        return
    for x, y in ((-5, 22), (5, 23), (0, 25)):
        b.line([(0, 12), (x, y)], (80, 140, 70), 1.6)
        b.oval(x, y, 3.2, 3, petal)
        b.oval(x, y, 1.2, 1.2, heart, None)
    b.poly(
        [(-4.5, 0), (4.5, 0), (9, 6), (7.5, 11), (3.4, 15), (5.4, 18), (-5.4, 18), (-3.4, 15), (-7.5, 11), (-9, 6)], c
    )
    b.poly([(-8.6, 7.5), (8.6, 7.5), (8.2, 5), (-8.2, 5)], shade(c, 1.45), None)
    b.oval(-4.5, 9.5, 1.6, 2, shade(c, 1.6), None)


def egg(b: Brush, thing: Thing, c: Color) -> None:
    if thing.broken:
        b.oval(0, 2.2, 12.5, 2.6, (246, 246, 240), (196, 190, 170))
        b.oval(1, 3.6, 4.4, 3.2, (250, 190, 40))
        b.poly([(-13, 9), (-11.5, 3), (-7, 2), (-4, 6), (-6, 6), (-7, 9), (-9, 7), (-10.5, 10)], c)
        b.poly([(12.5, 10), (13, 4), (9, 2), (5.5, 5), (7.4, 6.5), (8, 9), (10, 7.6)], shade(c, 0.92))
        return
    b.ball(0, 10.5, 8.2, 10.5, c)
    for x, y in ((-3, 6), (3, 9), (1, 4), (4, 14), (-1, 15)):
        b.oval(x, y, 0.8, 0.8, shade(c, 0.7), None)


def statue(b: Brush, thing: Thing, c: Color) -> None:
    if thing.broken:
        b.rounded(-13, 0, 0, 6, 1, shade(c, 0.75))
        b.poly([(-10, 6), (-3, 6), (-4, 10), (-6, 8.5), (-7, 12), (-9.5, 9)], c)
        b.ball(8, 5, 5, 5, c)
        b.oval(6.6, 5.6, 0.9, 1.2, INK, None)
        b.oval(9.8, 5.6, 0.9, 1.2, INK, None)
        _chips(b, c, ((1.5, 0), (0, 8)))
        return
    b.rounded(-9, 0, 9, 6, 1, shade(c, 0.72))
    b.poly([(-7.5, 6), (7.5, 6), (6, 12), (2.5, 15), (-2.5, 15), (-6, 12)], c)
    b.ball(0, 20, 5.2, 6, c)
    b.oval(-1.8, 20.5, 0.8, 1.1, INK, None)
    b.oval(1.8, 20.5, 0.8, 1.1, INK, None)


def phone(b: Brush, thing: Thing, c: Color) -> None:
    if thing.broken:
        b.poly([(-13, 0), (-3, 0), (-4.5, 4), (-2, 8), (-5, 11), (-12, 7)], c)
        b.poly([(-11, 1.6), (-5, 1.6), (-6, 4), (-4.4, 7.6), (-6, 9), (-10.5, 6.4)], (120, 145, 160), None)
        b.poly([(2, 0), (12, 3), (13, 9), (3, 11), (5, 7), (1.5, 4)], shade(c, 1.1))
        for line in ([(4, 2), (8, 6), (11, 5)], [(8, 6), (6, 9)]):
            b.line(line, (226, 236, 244), 1)
        _chips(b, (150, 190, 215), ((-1, 0), (0, 7)))
        return
    b.rounded(-8, 0, 8, 26, 3, c)
    b.rect(-6, 4, 6, 22.5, (150, 205, 240), None)
    b.poly([(-6, 4), (-6, 12), (6, 20), (6, 4)], (112, 172, 222), None)
    for x, y, tone in (
        (-3, 18, (250, 120, 110)),
        (2.8, 18, (255, 215, 90)),
        (-3, 12.5, (120, 210, 130)),
        (2.8, 12.5, (250, 250, 250)),
    ):
        b.rect(x - 1.6, y - 1.6, x + 1.6, y + 1.6, tone, None)
    b.oval(0, 2, 1.1, 1.1, shade(c, 1.6), None)


def book(b: Brush, thing: Thing, c: Color) -> None:
    if thing.open:
        b.poly([(-13.5, 1), (0, 3.5), (13.5, 1), (13.5, 16), (0, 18.5), (-13.5, 16)], c)
        b.poly([(-12, 3), (0, 5.5), (0, 18), (-6, 19), (-12, 16.5)], PAPER, (180, 170, 150))
        b.poly([(12, 3), (0, 5.5), (0, 18), (6, 19), (12, 16.5)], shade(PAPER, 0.94), (180, 170, 150))
        for y in (8, 11, 14):
            b.line([(-10, y - 1), (-2.5, y + 0.6)], (130, 125, 125), 0.9)
            b.line([(10, y - 1), (2.5, y + 0.6)], (130, 125, 125), 0.9)
        return
    b.rounded(-12, 0, 12, 10.5, 1.5, c)
    b.rect(-12, 2.4, 10, 8.2, PAPER, shade(c, 0.5))
    b.line([(-11, 5.2), (9.5, 5.2)], (205, 196, 176), 0.8)
    b.rect(10, 0.6, 12.6, 10, shade(c, 0.78), None)
    b.rect(-5, 8.2, 1, 10.4, shade(c, 1.5), None)


def laptop(b: Brush, thing: Thing, c: Color) -> None:
    if thing.open:
        b.rounded(-12, 5, 12, 24, 1.5, c)
        b.rect(-10, 7, 10, 22, (118, 190, 245), None)
        b.poly([(-10, 7), (-10, 12), (-2, 17), (4, 11), (10, 15), (10, 7)], (94, 150, 214), None)
        b.oval(5.5, 18.5, 2, 2, (255, 236, 150), None)
        b.poly([(-13.5, 0), (13.5, 0), (12, 5.5), (-12, 5.5)], shade(c, 1.3))
        b.poly([(-10, 2.2), (10, 2.2), (9.4, 4.6), (-9.4, 4.6)], INK, None)
        return
    b.rounded(-13, 0, 13, 2.6, 1, shade(c, 0.6))
    b.poly([(-13, 2.6), (13, 2.6), (10.5, 8), (-10.5, 8)], c)
    b.oval(0, 5.2, 2, 1.4, shade(c, 1.6), None)


def candle(b: Brush, thing: Thing, c: Color) -> None:
    if thing.on:
        b.glow(0, 19, 15, 15, (255, 220, 110), 0.85)
    b.poly([(-10, 3.4), (10, 3.4), (7, 0), (-7, 0)], (176, 140, 70))
    b.rounded(-5.5, 3, 5.5, 16, 1.5, c)
    b.rect(-4, 4, -1.8, 14, shade(c, 1.7), None)
    b.poly([(3, 16), (5.5, 16), (5.5, 9), (4.4, 8)], shade(c, 1.4), None)
    b.line([(0, 16), (0, 18.6)], INK, 1.1)
    if thing.on:
        b.poly([(-3.4, 19.5), (0, 17), (3.4, 19.5), (2.4, 23), (0, 28), (-2.4, 23)], (255, 150, 30), None)
        b.poly([(-1.6, 19.5), (0, 18), (1.6, 19.5), (0, 24)], (255, 244, 170), None)


def pillow(b: Brush, thing: Thing, c: Color) -> None:
    b.poly(
        [(-13.5, 0), (-6, 1.6), (6, 1.6), (13.5, 0), (12, 8), (13.5, 16), (6, 14.6), (-6, 14.6), (-13.5, 16), (-12, 8)],
        c,
    )
    b.poly([(-11, 3), (-5, 3.6), (-7, 12.4), (-11, 13)], shade(c, 1.3), None)
    for x, y in ((0, 8), (-5, 5), (5, 5), (-5, 11), (5, 11)):
        b.oval(x, y, 1.2, 1.2, shade(c, 0.68), None)


def towel(b: Brush, thing: Thing, c: Color) -> None:
    for y, tone in ((0, 0.82), (5, 1.0), (10, 1.2)):
        b.rounded(-12.5 + y * 0.1, y, 12.5 - y * 0.1, y + 5.2, 2.4, shade(c, tone))
    for x in (-8, -5.5):
        b.line([(x, 0.6), (x, 14.6)], (250, 250, 248), 1.4)


def remote(b: Brush, thing: Thing, c: Color) -> None:
    b.poly([(-9, 0), (-3, -0.5), (9, 20), (4, 24), (-0.5, 22)], c)
    b.oval(4.6, 19.6, 2, 2, (235, 70, 60), None)
    for i, tone in enumerate(((250, 250, 250), (250, 210, 80), (110, 210, 130), (120, 180, 250))):
        x, y = 2.2 - i * 2.4, 15 - i * 4
        b.oval(x - 1.4, y + 0.6, 1.3, 1.3, tone, None)
        b.oval(x + 1.8, y - 1.0, 1.3, 1.3, tone, None)


THINGS = {
    "knife": knife,
    "mug": mug,
    "bowl": bowl,
    "plate": plate,
    "bottle": bottle,
    "vase": vase,
    "egg": egg,
    "statue": statue,
    "phone": phone,
    "book": book,
    "laptop": laptop,
    "candle": candle,
    "pillow": pillow,
    "towel": towel,
    "remote": remote,
}
