"""How a run is shown while it goes: in plain lines, or on a terminal."""

import os
import time
from typing import Protocol

from scripts.launch.speak import harmless
from scripts.launch.watch import Watch
from scripts.launch.writer import Writer

STATUS_SECONDS = 5.0
"""How often plain lines say where the run stands."""


class Show(Protocol):
    """`event` is called for each text a person should read, `tick` a few times a second. Neither waits nor fails."""

    def __enter__(self) -> "Show": ...

    def __exit__(self, *failure: object) -> None: ...

    def event(self, text: str) -> None: ...

    def tick(self, watch: Watch) -> None: ...


class Plain:
    """Lines with the seconds since the start: for pipes, files and CI."""

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
    """An event's lines with the time of the run, and with nothing in them that a terminal would obey."""
    return f"{seconds:7.1f}s  " + "\n".join(harmless(line) for line in text.split("\n"))


def choose(plain: bool, out: Writer) -> Show:
    """The screen on a terminal that can redraw, else plain lines."""
    if plain or not out.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return Plain(out)
    from scripts.launch.screen import Screen

    return Screen(out)
