"""One measured share per round as an SVG: points with their 95% intervals, the base model as a dashed line. Pure."""

import math
from collections.abc import Callable, Sequence
from html import escape

from protocols.messages import Estimate

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 18, 24, 34
SPAN = 0.3
"""The least range of the vertical axis, so that noise is not drawn as a mountain."""


def curve(points: Sequence[tuple[int, Estimate]], *, name: str, series: str) -> str:
    """The chart of (round, estimate) pairs in rising order of rounds; ``series`` is the CSS class of its colour.

    Without points it is a sentence instead.
    """
    if not points:
        return f'<p class="empty">{escape(name)} has not been evaluated.</p>'
    low, high = _range(points)
    rounds = [number for number, _ in points]

    def x(number: float) -> float:
        count = max(rounds[-1] - rounds[0], 1)
        inner = WIDTH - LEFT - RIGHT - 40
        return LEFT + 20 + inner * (number - rounds[0]) / count

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - share) / (high - low)

    label = escape(_label(name, points))
    text = [f'<svg class="chart {series}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    step = 0.1 if high - low <= 0.6 else 0.2
    for tick in range(round(low / step), round(high / step) + 1):
        at = y(tick * step)
        text.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        text.append(
            f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{100 * tick * step:.0f}%</text>'
        )
    base = y(points[0][1].value)
    text.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base:.1f}" y2="{base:.1f}"/>')
    line = " ".join(f"{x(number):.1f},{y(found.value):.1f}" for number, found in points)
    text.append(f'<polyline class="line" points="{line}"/>')
    every = max(1, math.ceil(len(points) / 12))
    for place, (number, found) in enumerate(points):
        text += _point(x(number), y, found, number, said=place % every == 0 or place == len(points) - 1)
    text.append("</svg>")
    return "\n".join(text)


def _point(at: float, y: Callable[[float], float], found: Estimate, number: int, *, said: bool) -> list[str]:
    low, high = found.ci95
    name = "base" if number == 0 else f"round {number}"
    whiskers = (
        f"M{at:.1f} {y(low):.1f}V{y(high):.1f}M{at - 5:.1f} {y(low):.1f}h10M{at - 5:.1f} {y(high):.1f}h10"
    )  # fmt: skip
    parts = [
        f"<g><title>{name}: {100 * found.value:.1f}% [{100 * low:.1f}, {100 * high:.1f}], n={found.n}</title>",
        f'<path class="whisker" d="{whiskers}"/>',
        f'<circle class="point" cx="{at:.1f}" cy="{y(found.value):.1f}" r="5"/>',
    ]
    if said:
        label, value = "base" if number == 0 else str(number), f"{100 * found.value:.1f}"
        top = y(high) - 8
        parts.append(f'<text class="value" x="{at:.1f}" y="{top:.1f}" text-anchor="middle">{value}</text>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{label}</text>')
    return [*parts, "</g>"]


def _range(points: Sequence[tuple[int, Estimate]]) -> tuple[float, float]:
    """The vertical axis: all intervals, to the next ten points, at least `SPAN`, within 0 and 1."""
    low = math.floor(10 * min(found.ci95[0] for _, found in points) + 1e-9) / 10
    high = math.ceil(10 * max(found.ci95[1] for _, found in points) - 1e-9) / 10
    low, high = max(0.0, low), min(1.0, high)
    while high - low < SPAN - 1e-9:
        low, high = (max(0.0, low - 0.1), high) if high >= 1 else (low, min(1.0, high + 0.1))
    if high - low > 0.6:
        low, high = math.floor(low * 5 + 1e-9) / 5, math.ceil(high * 5 - 1e-9) / 5
    return low, high


def _label(name: str, points: Sequence[tuple[int, Estimate]]) -> str:
    told = ", ".join(f"{'base' if n == 0 else f'round {n}'} {100 * found.value:.1f}%" for n, found in points)
    return f"{name}: {told}"
