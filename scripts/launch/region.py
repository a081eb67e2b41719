"""The bottom lines of a terminal, redrawn in place, below lines that scroll.

Drawn lines are erased by moving the cursor up over them. A terminal that became narrower has wrapped them into more
rows, which are counted from the lines' widths at each redraw. Lines end one column before the terminal's edge, because
some terminals wrap lines of full width. There are never more lines than the terminal has rows.
"""

import os
from typing import TextIO, cast

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.segment import Segment, Segments

from scripts.launch.writer import Writer

UNKNOWN = (80, 24)
"""Columns and rows to assume for a terminal that reports no size."""


class Region:
    """The part of a terminal that is redrawn. ``out`` writes to the terminal."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._console = Console(
            file=cast(TextIO, out), highlight=False, markup=False, emoji=False, legacy_windows=False
        )
        self._drawn: list[int] = []  # widths of the lines drawn last
        self._last: RenderableType = ""

    def show(self, renderable: RenderableType) -> None:
        """Replaces what was drawn before. Does nothing while the terminal accepts no text (Ctrl-S)."""
        self._last = renderable
        if self._out.idle:
            self._redraw("")

    def above(self, text: str) -> None:
        """Prints lines above the redrawn part; they scroll."""
        self._redraw(f"{text}\n")

    def clear(self) -> None:
        """Erases what was drawn."""
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
        """The lines, with a question mark for characters outside the terminal's encoding: an escape would be longer."""
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
        except (OSError, ValueError):  # also raised for a terminal that was closed
            columns, rows = UNKNOWN
        return columns or UNKNOWN[0], max(rows or UNKNOWN[1], 2)
