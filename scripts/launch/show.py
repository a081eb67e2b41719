"""Displays of a run in progress: plain lines, or a terminal screen."""

import os
import time
from typing import Protocol

from scripts.launch.speak import harmless
from scripts.launch.watch import Watch
from scripts.launch.writer import Writer

STATUS_SECONDS = 5.0
"""Interval of status lines in plain mode."""


class Show(Protocol):
    """A display. `event` is called for each text to show, `tick` a few times a second. Neither blocks nor raises."""

    def __enter__(self) -> "Show": ...

    def __exit__(self, *failure: object) -> None: ...

    def event(self, text: str) -> None: ...

    def tick(self, watch: Watch) -> None: ...


class Plain:
    """Lines with the seconds since the start, for pipes, files and CI."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._begun = time.monotonic()
        self._said = ""
        self._at = -STATUS_SECONDS

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def event(self, text: str) -> None:
        self._out.write(f"{stamped(text, time.monotonic() - self._begun)}\n")

    def tick(self, watch: Watch) -> None:
        from scripts.launch.lines import status

        now = time.monotonic()
        text = status(watch)
        if now - self._at >= STATUS_SECONDS and text != self._said:
            self._at, self._said = now, text
            self.event(text)


def stamped(text: str, seconds: float) -> str:
    """An event's lines with the time since the start, without control characters."""
    return f"{seconds:7.1f}s  " + "\n".join(harmless(line) for line in text.split("\n"))


def choose(plain: bool, out: Writer) -> Show:
    """`Screen` on a terminal that can redraw, else `Plain`."""
    if plain or not out.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return Plain(out)
    from scripts.launch.screen import Screen

    return Screen(out)
