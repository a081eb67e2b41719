"""How a run is shown while it goes: in plain lines, or on a terminal."""

import sys
import time
from typing import Protocol, TextIO

from runtime.storage import is_full
from scripts.launch.watch import Watch

STATUS_SECONDS = 5.0
"""How often plain lines say where the run stands."""


class Show(Protocol):
    """`event` is called for each line a person should read, `tick` a few times a second."""

    def __enter__(self) -> "Show": ...

    def __exit__(self, *failure: object) -> None: ...

    def event(self, text: str) -> None: ...

    def tick(self, watch: Watch) -> None: ...


class Plain:
    """Lines with the seconds since the start: for pipes, files and CI."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._begun = time.monotonic()
        self._said = ""
        self._at = -STATUS_SECONDS

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *failure: object) -> None:
        self._write("")

    def event(self, text: str) -> None:
        self._write(f"{time.monotonic() - self._begun:7.1f}s  {text}\n")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            if not is_full(error):  # a run is not ended for a line
                raise

    def tick(self, watch: Watch) -> None:
        from scripts.launch.lines import status

        now = time.monotonic()
        text = status(watch)
        if now - self._at >= STATUS_SECONDS and text != self._said:
            self._at, self._said = now, text
            self.event(text)


def choose(plain: bool) -> Show:
    """The screen on a terminal that can do it, else plain lines."""
    if plain or not sys.stdout.isatty():
        return Plain()
    from scripts.launch.screen import Screen

    return Screen()
