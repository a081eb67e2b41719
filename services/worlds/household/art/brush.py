"""A brush: anti-aliased shapes in local coordinates, soft shadows and glows, at any resolution."""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)  # many worlds share the cores, and frames are too small for a thread pool

Color = tuple[int, int, int]
"""Red, green, blue; 0..255."""
Point = tuple[float, float]

_FRACTION = 4
_ONE = 1 << _FRACTION


def shade(color: Color, gain: float) -> Color:
    """Returns the colour darker (below 1) or lighter (above 1). Light tones turn slightly warm, dark ones cool."""
    r, g, b = color
    if gain <= 1:
        return int(r * gain), int(g * gain), int(b * min(1.0, gain + 0.04))
    k = min(1.0, gain - 1)
    return int(r + (255 - r) * k), int(g + (253 - g) * k), int(b + (246 - b) * k)


def mix(a: Color, b: Color, k: float) -> Color:
    return int(a[0] + k * (b[0] - a[0])), int(a[1] + k * (b[1] - a[1])), int(a[2] + k * (b[2] - a[2]))


_y, _x = np.mgrid[-1:1:64j, -1:1:64j]
_SPOT = np.repeat(255 * np.clip(1 - _x * _x - _y * _y, 0, 1)[:, :, None] ** 1.3, 3, axis=2).astype(np.float32)
"""A soft spot: 255 in the middle, 0 at the rim; 64 x 64 x 3."""


@lru_cache(maxsize=128)
def _spot(width: int, height: int, strength: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the stretched spot and its complement, the weight of the picture below; each height x width x 3."""
    spot = cv2.resize((_SPOT * strength).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    return spot.astype(np.uint8), cv2.bitwise_not(spot).astype(np.uint8)


@lru_cache(maxsize=32)
def _corner(steps: int) -> tuple[Point, ...]:
    return tuple((math.cos(i * math.pi / 2 / steps), math.sin(i * math.pi / 2 / steps)) for i in range(steps + 1))


class Brush:
    """Draws into ``image`` (height x width x 3, uint8, in place), clipped to the image. Local x runs right and y up
    from ``x0, y0`` (pixels); ``sx`` and ``sy`` are pixels per unit. ``edge``: outline width in pixels. ``smooth``:
    anti-alias outlines too, which is not needed for pictures that are drawn large and then reduced."""

    def __init__(
        self,
        image: NDArray[np.uint8],
        x0: float,
        y0: float,
        sx: float,
        sy: float | None = None,
        *,
        edge: int = 1,
        smooth: bool = True,
    ) -> None:
        self.image, self.x0, self.y0, self.sx, self.sy = image, x0, y0, sx, sx if sy is None else sy
        self.edge, self.smooth = edge, smooth

    def at(self, x: float, y: float, scale: float = 1.0, *, square: bool = False) -> "Brush":
        """Returns a brush whose origin is at x, y. ``square`` undoes half of the parent's stretching."""
        sx, sy = self.sx * scale, self.sy * scale
        if square:
            mean = (sx * sy) ** 0.5
            sx, sy = (sx + mean) / 2, (sy + mean) / 2
        x0, y0 = self.x0 + x * self.sx, self.y0 - y * self.sy
        return Brush(self.image, x0, y0, sx, sy, edge=self.edge, smooth=self.smooth)

    def _fixed(self, points: Sequence[Point]) -> NDArray[np.int32]:
        ax, bx = self.x0 * _ONE, self.sx * _ONE
        ay, by = self.y0 * _ONE, self.sy * _ONE
        return np.array([(int(ax + bx * x), int(ay - by * y)) for x, y in points], np.int32)

    def poly(self, points: Sequence[Point], fill: Color, edge: float | Color | None = 0.55) -> None:
        """Draws a filled polygon. ``edge``: its outline as a shade of the fill or a colour; None for none."""
        fixed = self._fixed(points)
        cv2.fillPoly(self.image, [fixed], fill, cv2.LINE_AA, _FRACTION)
        if edge is not None:
            color = shade(fill, edge) if isinstance(edge, float | int) else edge
            kind = cv2.LINE_AA if self.smooth else cv2.LINE_8
            cv2.polylines(self.image, [fixed], True, color, self.edge, kind, _FRACTION)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Color, edge: float | Color | None = 0.55) -> None:
        self.poly(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), fill, edge)

    def rounded(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        radius: float,
        fill: Color,
        edge: float | Color | None = 0.55,
    ) -> None:
        r, points = min(radius, (x1 - x0) / 2, (y1 - y0) / 2), _corner(3)
        outline = [(x1 - r + r * c, y1 - r + r * s) for c, s in points]
        outline += [(x0 + r - r * s, y1 - r + r * c) for c, s in points]
        outline += [(x0 + r - r * c, y0 + r - r * s) for c, s in points]
        outline += [(x1 - r + r * s, y0 + r - r * c) for c, s in points]
        self.poly(outline, fill, edge)

    def panel(
        self, x0: float, y0: float, x1: float, y1: float, fill: Color, *, top: float = 1.1, foot: float = 0.9
    ) -> None:
        """Draws a flat front lit from above: shaded from ``top`` to ``foot``, with an outline."""
        self.rect(x0, y0, x1, y1, fill)
        inset = (self.edge + 1) // 2
        height, width = self.image.shape[:2]
        left, right = round(self.x0 + x0 * self.sx) + inset, round(self.x0 + x1 * self.sx) - inset + 1
        high, low = round(self.y0 - y1 * self.sy) + inset, round(self.y0 - y0 * self.sy) - inset + 1
        if right <= left or low <= high:
            return
        ends = np.array([[shade(fill, top)], [shade(fill, foot)]], np.uint8)
        ramp = cv2.resize(ends, (right - left, low - high), interpolation=cv2.INTER_LINEAR)
        x, y = max(left, 0), max(high, 0)
        if x < min(right, width) and y < min(low, height):
            self.image[y : min(low, height), x : min(right, width)] = ramp[
                y - high : min(low, height) - high, x - left : min(right, width) - left
            ]

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Color, edge: float | Color | None = 0.55) -> None:
        center = (int((self.x0 + x * self.sx) * _ONE), int((self.y0 - y * self.sy) * _ONE))
        ax, ay = abs(rx * self.sx) * _ONE, abs(ry * self.sy) * _ONE
        if edge is not None:
            color = shade(fill, edge) if isinstance(edge, float | int) else edge
            rim = self.edge * _ONE // 2
            cv2.ellipse(
                self.image, center, (int(ax + rim), int(ay + rim)), 0, 0, 360, color, -1, cv2.LINE_AA, _FRACTION
            )
            ax, ay = max(1.0, ax - rim), max(1.0, ay - rim)
        cv2.ellipse(self.image, center, (int(ax), int(ay)), 0, 0, 360, fill, -1, cv2.LINE_AA, _FRACTION)

    def ball(self, x: float, y: float, rx: float, ry: float, fill: Color) -> None:
        """Draws a round body lit from the upper left."""
        self.oval(x, y, rx, ry, shade(fill, 0.84), shade(fill, 0.5))
        self.oval(x - rx * 0.1, y + ry * 0.1, rx * 0.8, ry * 0.8, fill, None)
        self.oval(x - rx * 0.35, y + ry * 0.4, rx * 0.28, ry * 0.22, shade(fill, 1.5), None)

    def line(self, points: Sequence[Point], color: Color, width: float) -> None:
        """Draws an open line, ``width`` in units."""
        fixed = self._fixed(points)
        thick = max(1, round(width * self.sx))
        cv2.polylines(self.image, [fixed], False, color, thick, cv2.LINE_AA, _FRACTION)

    def tube(self, points: Sequence[Point], color: Color, width: float) -> None:
        """Draws an outlined line, e.g. a limb, pipe or leg."""
        self.line(points, shade(color, 0.5), width + 1.6 * self.edge / self.sx)
        self.line(points, color, width)

    def _soft(self, x: float, y: float, rx: float, ry: float, color: Color, strength: float) -> None:
        w, h = max(2, round(2 * rx * self.sx)), max(2, round(2 * ry * self.sy))
        left, top = round(self.x0 + x * self.sx - w / 2), round(self.y0 - y * self.sy - h / 2)
        height, width = self.image.shape[:2]
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + w, width), min(top + h, height)
        if x1 <= x0 or y1 <= y0:
            return
        window = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        spot, rest = _spot(w, h, strength)
        region = self.image[y0:y1, x0:x1]
        cv2.multiply(region, rest[window], dst=region, scale=1 / 255)
        cv2.add(region, cv2.multiply(spot[window], np.array((*color, 0), np.float64), scale=1 / 255), dst=region)

    def shadow(self, x: float, y: float, rx: float, ry: float, strength: float = 0.45) -> None:
        self._soft(x, y, rx, ry, (24, 18, 30), strength)

    def glow(self, x: float, y: float, rx: float, ry: float, color: Color, strength: float = 0.6) -> None:
        self._soft(x, y, rx, ry, color, strength)
