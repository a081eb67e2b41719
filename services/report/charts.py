"""A metric per round as an SVG: points with their 95% intervals, and the base model as a dashed line. Pure."""

import math
from collections.abc import Sequence

import msgspec

from protocols.messages import Estimate

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 18, 24, 34
SPAN = 0.3
"""Least range of the vertical axis, to keep noise from filling the chart."""


class Tick(msgspec.Struct, frozen=True):
    """A grid line, ``y`` pixels from the top."""

    y: float
    label: str


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A round's estimate: ``x``, ``y`` and the ends of its interval, in pixels. An empty ``label`` draws no text."""

    x: float
    y: float
    low: float
    high: float
    title: str
    value: str
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The values of the template. ``left`` and ``right`` are the grid's ends, ``base`` the base model's height, in
    pixels."""

    name: str
    series: str
    label: str = ""
    ticks: tuple[Tick, ...] = ()
    base: float = 0.0
    points: tuple[Point, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def chart(points: Sequence[tuple[int, Estimate]], *, name: str, series: str) -> Chart:
    """The chart of (round, estimate) pairs, in ascending order of rounds. ``series`` is the CSS class of its colour.

    Without points its template draws a sentence.
    """
    if not points:
        return Chart(name=name, series=series)
    low, high = _range(points)
    rounds = [number for number, _ in points]

    def x(number: float) -> float:
        count = max(rounds[-1] - rounds[0], 1)
        inner = WIDTH - LEFT - RIGHT - 40
        return LEFT + 20 + inner * (number - rounds[0]) / count

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - share) / (high - low)

    step = 0.1 if high - low <= 0.6 else 0.2
    every = max(1, math.ceil(len(points) / 12))
    return Chart(
        name=name,
        series=series,
        label=_label(name, points),
        ticks=tuple(
            Tick(y(tick * step), f"{100 * tick * step:.0f}%")
            for tick in range(round(low / step), round(high / step) + 1)
        ),
        base=y(points[0][1].value),
        points=tuple(
            Point(
                x=x(number),
                y=y(found.value),
                low=y(found.ci95[0]),
                high=y(found.ci95[1]),
                title=_title(number, found),
                value=f"{100 * found.value:.1f}",
                label=_round(number, "") if place % every == 0 or place == len(points) - 1 else "",
            )
            for place, (number, found) in enumerate(points)
        ),
    )


def _title(number: int, found: Estimate) -> str:
    low, high = found.ci95
    return f"{_round(number)}: {100 * found.value:.1f}% [{100 * low:.1f}, {100 * high:.1f}], n={found.n}"


def _round(number: int, word: str = "round ") -> str:
    return "base" if number == 0 else f"{word}{number}"


def _range(points: Sequence[tuple[int, Estimate]]) -> tuple[float, float]:
    """The vertical axis: covers all intervals, rounded outwards to tenths, at least `SPAN`, within 0 and 1."""
    low = math.floor(10 * min(found.ci95[0] for _, found in points) + 1e-9) / 10
    high = math.ceil(10 * max(found.ci95[1] for _, found in points) - 1e-9) / 10
    low, high = max(0.0, low), min(1.0, high)
    while high - low < SPAN - 1e-9:
        low, high = (max(0.0, low - 0.1), high) if high >= 1 else (low, min(1.0, high + 0.1))
    if high - low > 0.6:
        low, high = math.floor(low * 5 + 1e-9) / 5, math.ceil(high * 5 - 1e-9) / 5
    return low, high


def _label(name: str, points: Sequence[tuple[int, Estimate]]) -> str:
    return f"{name}: " + ", ".join(f"{_round(number)} {100 * found.value:.1f}%" for number, found in points)
