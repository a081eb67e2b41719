"""The results as a PNG: actor success and critic accuracy of each row, with error bars. Pure."""

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

from scripts.trials.figures import Figure
from scripts.trials.results import MethodFigures, Results

SCALE = 2
"""Pixels per point: the picture is for screens of twice the usual density."""
LEFT, PANEL, GAP, TOP, LINE, FOOT = 190, 330, 46, 64, 30, 70
INK, SOFT, FAINT = "#16181d", "#5c626e", "#e4e5e0"
PANELS = (("actor_success", "Actor success", "#c2540a"), ("critic_accuracy", "Critic accuracy", "#2563c9"))


def draw(found: Results) -> bytes:
    """A PNG with one line per row, in the table's order. A dashed line marks the value of the first row."""
    rows = found.methods
    size = (LEFT + 2 * PANEL + GAP + 90, TOP + LINE * max(1, len(rows)) + FOOT)
    image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), "white")
    pen = _Pen(ImageDraw.Draw(image))
    pen.text(20, 16, found.name, 17, INK)
    for at, name in enumerate(rows):
        pen.text(LEFT - 14, TOP + LINE * at + LINE / 2, name, 12, INK, "rm")
    for at, (metric, title, colour) in enumerate(PANELS):
        figures = {name: figure for name, row in rows.items() if (figure := _of(row, metric)) is not None}
        _panel(pen, LEFT + at * (PANEL + GAP), list(rows), figures, title, colour)
    missing = f"; {len(found.missing)} runs missing" if found.missing else ""
    note = f"95% intervals, over seeds where a row has several, else over episodes. Split {found.split}{missing}."
    pen.text(20, size[1] - 22, note, 11, SOFT)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _of(row: MethodFigures, metric: str) -> Figure | None:
    return getattr(row, metric)


class _Pen:
    """Draws with coordinates in points."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def text(self, x: float, y: float, text: str, size: int, colour: str, anchor: str = "la") -> None:
        font = ImageFont.load_default(size=size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), text, colour, font, anchor=anchor)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1) -> None:
        place = (x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE)
        self._draw.line(place, colour, round(width * SCALE))

    def dot(self, x: float, y: float, colour: str) -> None:
        self._draw.circle((x * SCALE, y * SCALE), 4.5 * SCALE, colour, "white", SCALE)


def _panel(pen: _Pen, left: float, rows: list[str], figures: Mapping[str, Figure], title: str, colour: str) -> None:
    bottom = TOP + LINE * max(1, len(rows))
    pen.text(left, TOP - 20, f"{title}, %", 13, INK)
    for tick in range(0, 101, 20):
        x = left + PANEL * tick / 100
        pen.line(x, TOP, x, bottom, FAINT)
        pen.text(x, bottom + 6, str(tick), 11, SOFT, "ma")
    if rows and rows[0] in figures:
        x = left + PANEL * figures[rows[0]].value
        for y in range(TOP, bottom, 8):
            pen.line(x, y, x, min(y + 3, bottom), SOFT)
    for at, name in enumerate(rows):
        if name in figures:
            figure, y = figures[name], TOP + LINE * (at + 0.5)
            low, high = (left + PANEL * end for end in figure.ci95)
            pen.line(low, y, high, y, colour, 1.5)
            for end in (low, high):
                pen.line(end, y - 4, end, y + 4, colour, 1.5)
            pen.dot(left + PANEL * figure.value, y, colour)
            pen.text(max(high, left + PANEL * figure.value) + 8, y, f"{100 * figure.value:.1f}", 11, INK, "lm")
