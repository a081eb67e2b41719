"""Draws food, whole and sliced. Coordinates fit a box 26 wide and 26 high that stands on its origin."""

from services.worlds.household.art.brush import Brush, Color, mix, shade
from services.worlds.household.state import Thing

LEAF: Color = (86, 160, 70)
CREAM: Color = (250, 240, 205)


def apple(b: Brush, thing: Thing, c: Color) -> None:
    if thing.sliced:
        flesh = mix(c, (255, 246, 214), 0.9)
        for x, lean in ((-8.5, -2), (0.5, 0), (9.5, 2)):
            b.poly(
                [(x - 4, 0), (x + 4, 0), (x + 5 + lean, 8), (x + 2 + lean, 16), (x - 3 + lean, 16), (x - 5 + lean, 8)],
                c,
            )
            b.poly(
                [(x - 2.4, 1.5), (x + 2.4, 1.5), (x + 3 + lean, 8), (x + lean, 14), (x - 2.8 + lean, 8)], flesh, None
            )
            b.oval(x + lean * 0.5, 7, 1.1, 1.8, (95, 55, 30), None)
        return
    b.ball(-3.5, 9.5, 8.5, 9.5, c)
    b.oval(4.5, 9.5, 7.5, 9, shade(c, 0.84), None)
    b.oval(1, 10, 8, 8.6, c, None)
    b.oval(-6, 13.5, 2.4, 2.2, shade(c, 1.5), None)
    b.line([(0, 17), (2, 23)], (92, 60, 35), 2)
    b.poly([(2, 20), (7, 24), (12, 22), (8, 18.5)], LEAF)


def bread(b: Brush, thing: Thing, c: Color) -> None:
    if thing.sliced:
        crumb = mix(c, (255, 238, 200), 0.75)
        for x in (9, 1, -7):
            b.rounded(x - 6, 0, x + 5, 13, 2, c)
            b.oval(x - 0.5, 13, 7, 5, c)
            b.rounded(x - 4.4, 1.6, x + 3.4, 13, 1, crumb, None)
            b.oval(x - 0.5, 13, 5.2, 3.4, crumb, None)
        return
    b.rounded(-13, 0, 13, 14, 6, shade(c, 0.86))
    b.rounded(-12, 4, 12, 16, 6, c, None)
    for x in (-7, -0.5, 6):
        b.line([(x - 1.5, 8), (x + 2, 14)], mix(c, (255, 240, 205), 0.7), 2)


def tomato(b: Brush, thing: Thing, c: Color) -> None:
    if thing.sliced:
        flesh, seed = mix(c, (255, 150, 120), 0.55), (255, 226, 150)
        for x, y in ((-6.5, 7), (6.5, 7), (0, 4.5)):
            b.oval(x, y, 6.6, 6.2 if y > 5 else 4.5, c)
            b.oval(x, y, 4.6, 4.2 if y > 5 else 2.9, flesh, None)
            for dx, dy in ((-2, 1), (2, 1), (0, -1.8)):
                b.oval(x + dx, y + dy, 1.1, 1.1, seed, None)
        return
    b.ball(0, 8, 11.5, 8, c)
    b.poly([(-7, 15), (-2, 14), (0, 10.5), (2, 14), (7, 15), (2, 17), (1, 20.5), (-1, 20.5), (-2, 17)], LEAF)


def potato(b: Brush, thing: Thing, c: Color) -> None:
    if thing.sliced:
        flesh = mix(c, (255, 236, 150), 0.75)
        for x in (8, 0, -8):
            b.oval(x + 1.5, 7, 4.8, 7, shade(c, 0.8))
            b.oval(x, 7, 4.8, 7, flesh, shade(c, 0.7))
        return
    b.ball(1, 7, 11.5, 7, c)
    b.oval(-6, 6, 6, 5.6, c, None)
    for x, y in ((-7, 7), (-1, 4), (4, 9), (7, 5)):
        b.oval(x, y, 1.1, 0.8, shade(c, 0.55), None)


def lettuce(b: Brush, thing: Thing, c: Color) -> None:
    if thing.sliced:
        for i, x in enumerate((-11, -7, -3, 1, 5, 9)):
            tone = (c, shade(c, 1.35), shade(c, 0.8))[i % 3]
            b.poly(
                [(x - 2, 0), (x + 3, 0), (x + 1, 5 + i % 2 * 4), (x + 4, 9 + i % 3 * 2), (x - 1, 8), (x - 2, 4)], tone
            )
        return
    for x, y, r, k in (
        (-7, 7, 6, 0.8),
        (7, 7, 6, 0.8),
        (0, 14, 7, 0.9),
        (-4, 9, 6.5, 1.0),
        (5, 9, 6, 1.05),
        (0, 6, 6, 1.25),
    ):
        b.oval(x, y, r, r, shade(c, k), shade(c, 0.55))
    for x in (-5, 0, 5):
        b.line([(x * 0.3, 1), (x, 9)], shade(c, 1.6), 1.2)


FOOD = {"apple": apple, "bread": bread, "tomato": tomato, "potato": potato, "lettuce": lettuce}
