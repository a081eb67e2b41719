"""Draws the robot, standing or seated, for the third-person view; its hand and knees for the first-person view."""

from collections.abc import Callable

from services.worlds.household.art.brush import Brush, Color, shade

INK: Color = (38, 40, 52)
EYE: Color = (116, 236, 250)
BULB: Color = (255, 176, 60)

Carry = Callable[[Brush], None]
"""Draws the held object, standing on the brush's origin."""


def robot(b: Brush, c: Color, facing: int, carry: Carry | None, *, seated: bool = False) -> None:
    """Draws the robot with its feet (or seat, if ``seated``) at the brush's origin and its hand on the ``facing``
    side."""
    f = facing
    if seated:
        _legs_seated(b, c)
        b = b.at(0, -9)
    else:
        b.shadow(2, 1, 26, 6, 0.5)
        for x in (-8, 8):
            b.rounded(x - 6.5, 0, x + 6.5, 9, 4, INK)
            b.rounded(x - 3.5, 6, x + 3.5, 14, 2, shade(c, 0.6))
        b.tube([(-f * 13, 33), (-f * 19, 26), (-f * 18, 17)], shade(c, 0.7), 4.5)
        b.oval(-f * 18, 15, 3.6, 3.6, INK)
    b.rounded(-14.5, 11, 14.5, 40, 9, c)
    b.rounded(-11, 14, -7, 36, 2, shade(c, 1.35), None)
    b.rounded(-7, 17, 9, 31, 4, shade(c, 1.55), shade(c, 0.6))
    b.oval(-2.5, 26, 2, 2, (240, 96, 90), None)
    b.oval(4, 26, 2, 2, (110, 210, 130), None)
    b.line([(-4, 21), (6, 21)], shade(c, 0.6), 1.4)
    if seated:
        b.tube([(-f * 12, 31), (-f * 15, 22), (-f * 8, 15)], shade(c, 0.7), 4.5)
        b.oval(-f * 7, 14, 3.4, 3.4, INK)
    _head(b.at(0, 42), c, f)
    _arm(b, c, (f * 32, 46.0) if seated else (f * 33, 21.0), carry)


def _legs_seated(b: Brush, c: Color) -> None:
    for x in (-8, 8):
        b.tube([(x, 2), (x * 1.2, -10)], shade(c, 0.6), 6)
        b.rounded(x * 1.25 - 6, -16, x * 1.25 + 6, -8, 3.5, INK)
        b.oval(x, 3, 6.5, 5.5, shade(c, 0.85))


def _head(b: Brush, c: Color, f: int) -> None:
    b.rect(-4, -3, 4, 2, INK)
    b.line([(0, 22), (0, 29)], INK, 1.8)
    b.oval(0, 30, 3.2, 3.2, BULB)
    for x in (-16.5, 16.5):
        b.oval(x, 11, 3.4, 5, shade(c, 0.7))
    b.rounded(-16.5, 0, 16.5, 23, 9, shade(c, 1.12))
    b.rounded(-12 + f * 2, 4, 12 + f * 2, 19, 6.5, INK)
    for x in (-5, 5):
        b.oval(x + f * 2.4, 12, 2.8, 3.8, EYE, None)
        b.oval(x + f * 2.4 - 0.8, 13.5, 1, 1.2, (250, 255, 255), None)
    b.line([(-2.4 + f * 2.4, 7), (f * 2.4, 6.2), (2.4 + f * 2.4, 7)], EYE, 1.1)


def _arm(b: Brush, c: Color, palm: tuple[float, float], carry: Carry | None) -> None:
    x, y = palm
    elbow = (x * 0.64, y - 1) if y < 30 else (x * 0.8, y - 14)
    b.tube([(x * 0.4, 33), elbow, (x, y - 3)], shade(c, 0.8), 5)
    b.oval(*elbow, 3.4, 3.4, INK)
    _claw(b.at(x, y), carry)


def _claw(b: Brush, carry: Carry | None) -> None:
    """Draws a two-fingered gripper with its palm at the origin: a tray below a held object, otherwise wide open."""
    if carry:
        carry(b.at(0, 2.2, 1.3))
        b.poly([(-11, 3), (-8.5, 3), (-7, -1), (7, -1), (8.5, 3), (11, 3), (8, -5.5), (-8, -5.5)], INK, (120, 124, 136))
        return
    b.line([(-2, -2), (-8, 3), (-6, 10)], INK, 3)
    b.line([(2, -2), (8, 3), (6, 10)], INK, 3)
    b.oval(0, -2, 4.4, 4.4, INK, (120, 124, 136))


def hand(b: Brush, c: Color, side: int, carry: Carry | None) -> None:
    """Draws the robot's hand in its own view, from the lower corner on ``side``; the palm is at the origin."""
    b.poly([(side * 34, -40), (side * 12, -40), (-4, -8), (4, -2), (side * 8, -6), (side * 34, -26)], shade(c, 0.85))
    b.poly([(side * 34, -36), (side * 24, -36), (side * 6, -9), (side * 9, -8), (side * 34, -30)], shade(c, 1.3), None)
    b.oval(0, -5, 7, 6, shade(c, 0.6))
    _claw(b.at(0, 0), carry)


def knees(b: Brush, c: Color, seat: Color, arms: bool) -> None:
    """Draws the robot's knees in its own view. The origin is the middle of the lower edge; the frame's width is 128
    units."""
    b.rounded(-80, -10, 80, 9, 6, seat)
    b.rounded(-76, 4, 76, 7, 2, shade(seat, 1.3), None)
    if arms:
        for k in (-1, 1):
            b.poly([(k * 66, -10), (k * 66, 40), (k * 54, 36), (k * 44, -10)], shade(seat, 0.85))
    for x in (-15, 15):
        b.poly([(x * 1.9 - 11, -10), (x * 1.9 + 11, -10), (x + 9, 15), (x - 9, 15)], shade(c, 0.75))
        b.oval(x, 16, 10.5, 8.5, c)
        b.oval(x - 2.5, 18.5, 5, 3, shade(c, 1.4), None)
