"""The last lines of a terminal, redrawn in place, below lines that scroll by.

What was drawn is wiped by moving up over it. A terminal that was made narrower has broken its lines into more rows by
then, so the rows are counted anew, from the lines' widths, each time. Lines end one column before the terminal does, as
some break those that fill it, and there are never more of them than rows.
"""

import os
from typing import TextIO, cast

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.segment import Segment, Segments

from scripts.launch.writer import Writer

UNKNOWN = (80, 24)
"""Columns and rows of a terminal that does not know its size."""


class Region:
    """Where a terminal is redrawn. ``out`` is the terminal."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._console = Console(
            file=cast(TextIO, out), highlight=False, markup=False, emoji=False, legacy_windows=False
        )
        self._drawn: list[int] = []  # the widths of the lines that stand there
        self._last: RenderableType = ""

    def show(self, renderable: RenderableType) -> None:
        """Draws this in place of what was drawn before; nothing while the terminal takes no text (Ctrl-S)."""
        self._last = renderable
        if self._out.idle:
            self._redraw("")

    def above(self, text: str) -> None:
        """Lets these lines scroll by above what is drawn."""
        self._redraw(f"{text}\n")

    def clear(self) -> None:
        """Wipes what is drawn."""
        self._last = ""
        self._redraw("")

    def _redraw(self, above: str) -> None:
        columns, rows = self._size()
        wipe = self._wipe(columns)
        self._console.size = ConsoleDimensions(max(columns - 1, 1), rows)
        lines = self._lines()[: rows - 1] if self._last else []
        self._drawn = [Segment.get_line_length(line) for line in lines]
        with self._console.capture() as drawn:
            for line in lines:
                self._console.print(Segments([*line, Segment.line()]), end="")
        self._out.write(wipe + above + drawn.get())

    def _lines(self) -> list[list[Segment]]:
        """The lines with a question mark for each character that the terminal's encoding lacks: an escape is longer."""
        encoding = self._out.encoding
        return [
            [Segment(part.text.encode(encoding, "replace").decode(encoding), part.style) for part in line]
            for line in self._console.render_lines(self._last, pad=False)
        ]

    def _wipe(self, columns: int) -> str:
        rows = sum(max(1, -(-width // columns)) for width in self._drawn)
        return f"\x1b[{rows}A\r\x1b[J" if rows else ""

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):  # also one that is gone
            columns, rows = UNKNOWN
        return columns or UNKNOWN[0], max(rows or UNKNOWN[1], 2)
