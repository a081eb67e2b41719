"""Draws the empty room as one strip behind all fixtures: wall, floor, light and wall decorations."""

import cv2
import numpy as np
from numpy.typing import NDArray

from services.worlds.household.art.brush import Brush, Color, mix, shade
from services.worlds.household.look import Decor, Look

WHITE: Color = (250, 248, 242)
INK: Color = (60, 54, 58)


def paint_room(width: int, height: int, horizon: float, unit: float, look: Look, room: str) -> NDArray[np.uint8]:
    """Returns the strip: height x width x 3. The floor begins at row ``horizon``; ``unit`` is pixels per unit."""
    image = np.empty((height, width, 3), np.uint8)
    edge = min(height, max(1, round(horizon)))
    image[:edge] = _ramp(shade(look.wall, 0.9), shade(look.wall, 1.1), edge, width)
    brush = Brush(image, 0, horizon, unit, edge=max(1, round(unit * 0.5)))
    across = width / unit
    _paper(image[:edge], look, unit)
    if room in ("kitchen", "bathroom"):
        _wall_tiles(image[:edge], look, unit, 62 if room == "kitchen" else 78)
    brush.glow(look.glare * across, 88, 80, 66, (255, 250, 232), 0.42)
    for decor in look.decor:
        _DECOR[decor.what](brush.at(decor.x * across, decor.y), decor)
    image[edge:] = _ramp(shade(look.floor, 0.82), shade(look.floor, 1.12), height - edge, width)
    _ground(brush, look, across, (height - horizon) / unit)
    brush.rect(-2, 0, across + 2, 5, mix(WHITE, look.wall, 0.25), shade(look.wall, 0.6))
    shade_rows = min(height - edge, round(7 * unit))
    if shade_rows > 0:
        fade = np.linspace(0.78, 1, shade_rows, dtype=np.float32)[:, None, None]
        image[edge : edge + shade_rows] = (image[edge : edge + shade_rows] * fade).astype(np.uint8)
    return image


def _ramp(top: Color, foot: Color, rows: int, columns: int) -> NDArray[np.uint8]:
    """Returns a gradient from one colour to another; rows x columns x 3."""
    k = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    column = (np.array(top, np.float32) * (1 - k) + np.array(foot, np.float32) * k).astype(np.uint8)
    return cv2.repeat(column[:, None, :], 1, columns).astype(np.uint8, copy=False)


def _tint(region: NDArray[np.uint8], gain: float) -> None:
    if region.size:
        cv2.multiply(region, np.array((gain, gain, gain, 0)), dst=region)


def _paper(wall: NDArray[np.uint8], look: Look, unit: float) -> None:
    """Draws wallpaper."""
    width = wall.shape[1]
    step = max(4, round(24 * unit))
    if look.pattern in ("stripes", "checks"):
        for x in range(0, width, step):
            _tint(wall[:, x : x + step // 2], 0.91)
    if look.pattern == "checks":
        for y in range(0, wall.shape[0], step):
            _tint(wall[y : y + step // 2], 0.94)
    if look.pattern == "panels":
        for x in range(0, width, 2 * step):
            _tint(wall[:, x : x + max(1, round(1.4 * unit))], 0.88)
    if look.pattern == "dots":
        brush = Brush(wall, 0, wall.shape[0], unit)
        tone = shade(look.wall, 0.84)
        for row, y in enumerate(range(8, int(wall.shape[0] / unit) + 8, 18)):
            for x in range(9 * (row % 2), int(width / unit) + 18, 18):
                brush.oval(x, y, 2.2, 2.2, tone, None)


def _wall_tiles(wall: NDArray[np.uint8], look: Look, unit: float, up: float) -> None:
    """Draws glazed tiles up to a border, as in kitchens and bathrooms."""
    rows, width = wall.shape[:2]
    top = max(0, rows - round(up * unit))
    glaze = mix(look.wall, (240, 246, 248), 0.72)
    wall[top:] = _ramp(shade(glaze, 0.97), shade(glaze, 1.1), rows - top, width)
    thin, step = max(1, round(0.8 * unit)), max(3, round(13 * unit))
    for y in range(rows - step, top, -step):
        _tint(wall[y : y + thin], 0.9)
    for x in range(0, width, step):
        _tint(wall[top:, x : x + thin], 0.9)
    wall[top : top + max(1, round(3 * unit))] = shade(look.wall, 0.74)


def _ground(brush: Brush, look: Look, across: float, deep: float) -> None:
    dark, light = shade(look.floor, 0.74), shade(look.floor, 1.2)
    if look.ground == "carpet":
        thick = max(1, round(0.7 * brush.sx))
        at = np.arange(brush.image.shape[1]) / brush.sx
        for row in range(1, int(deep / 4) + 1):
            y = round(brush.y0 + row * 4.2 * brush.sy)
            brush.image[y : y + thick, (at + row % 2 * 7) % 14 < 4] = light if row % 2 else dark
        return
    rows, y, row = [0.0], 0.0, 0
    while y < deep:
        y += 5 + 2.6 * row
        row += 1
        rows.append(y)
    for row, (near, far) in enumerate(zip(rows[1:], rows[:-1], strict=True)):
        brush.line([(-2, -near), (across + 2, -near)], dark, 0.8)
        if look.ground == "planks":
            for x in range(-30 + row % 3 * 27, int(across) + 40, 80):
                brush.line([(x, -far), (x, -near)], dark, 0.8)
        else:
            for n, x in enumerate(range(-30, int(across) + 40, 30)):
                if (n + row) % 2:
                    brush.poly([(x, -far), (x + 30, -far), (x + 30, -near), (x, -near)], shade(look.floor, 0.86), None)


def _picture(b: Brush, decor: Decor) -> None:
    b.shadow(2, -2, 20, 16, 0.3)
    b.rounded(-15, -11, 15, 11, 1, (122, 88, 60))
    b.rect(-12, -8, 12, 8, WHITE, None)
    b.rect(-10, -6, 10, 6, mix(decor.color, (200, 226, 240), 0.75), None)
    b.poly([(-10, -6), (-4, 3), (1, -2), (5, 1), (10, -6)], decor.color, None)


def _window(b: Brush, decor: Decor) -> None:
    b.rounded(-24, -24, 24, 24, 1, WHITE, (150, 140, 130))
    b.panel(-21, -21, 21, 21, (158, 208, 244), top=0.95, foot=1.5)
    b.oval(-8, 6, 8, 3.4, WHITE, None)
    b.oval(-3, 8, 6, 3.4, WHITE, None)
    b.poly([(-21, -21), (-21, -11), (-8, -7), (6, -12), (21, -8), (21, -21)], (132, 190, 122), None)
    b.rect(-1.4, -21, 1.4, 21, WHITE, (170, 162, 154))
    b.rect(-21, -1.4, 21, 1.4, WHITE, (170, 162, 154))
    for k in (-1, 1):
        b.poly([(k * 27, 26), (k * 12, 26), (k * 20, 0), (k * 17, -26), (k * 27, -26)], decor.color)
    b.line([(-30, 27), (30, 27)], (122, 88, 60), 2.4)


def _clock(b: Brush, decor: Decor) -> None:
    b.shadow(1.5, -1.5, 13, 13, 0.3)
    b.oval(0, 0, 10.5, 10.5, decor.color)
    b.oval(0, 0, 8, 8, WHITE, None)
    b.line([(0, 0), (0, 6)], INK, 1.2)
    b.line([(0, 0), (4, -2)], INK, 1.2)


def _plant(b: Brush, decor: Decor) -> None:
    b.line([(-7, 4), (0, 22), (7, 4)], (120, 104, 92), 1)
    for x, y in ((-10, -4), (10, -5), (-6, -11), (6, -12), (0, -8)):
        b.line([(x * 0.4, 4), (x, y)], (72, 140, 74), 2)
        b.oval(x, y, 3, 3, (92, 166, 88))
    b.poly([(-8, 6), (8, 6), (5, -4), (-5, -4)], decor.color)


def _garland(b: Brush, decor: Decor) -> None:
    b.line([(-36, 12), (-18, 7), (0, 5), (18, 7), (36, 12)], INK, 0.9)
    for i, x in enumerate((-30, -18, -6, 6, 18, 30)):
        y = 5 + x * x * 0.0055
        tone = (decor.color, WHITE, shade(decor.color, 0.7))[i % 3]
        b.poly([(x - 4.5, y + 0.5), (x + 4.5, y + 0.5), (x, y - 8)], tone)


_DECOR = {"picture": _picture, "window": _window, "clock": _clock, "plant": _plant, "garland": _garland}
