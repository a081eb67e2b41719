"""Text for a terminal or a pipe that may be slow, stuck or gone, while a run goes on regardless."""

import io
import os
import queue
import select
import threading
from contextlib import suppress
from typing import TextIO

from scripts.output import READER_GONE, encodable

TEXTS = 1000
"""Texts that wait for a reader who does not read (``| less``, Ctrl-S); more are left out."""
LAST_SECONDS = 10.0
"""How long the end of a run waits for what is still to be written."""
LOOK_SECONDS = 1.0
"""How often a full pipe is looked at again."""


class Writer(io.TextIOBase):
    """A text file over `out` whose `write` neither waits nor fails: a thread of its own hands the text on.

    What a full disk does not take is left out. After a reader that went away nothing more is written.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._encoding = getattr(out, "encoding", None) or "utf-8"
        try:
            self._descriptor: int | None = out.fileno()
        except (OSError, ValueError, AttributeError):  # a text in memory
            self._descriptor = None
        with suppress(OSError, ValueError):
            out.flush()  # what was said before comes first
        self._texts: queue.Queue[str | None] = queue.Queue(TEXTS)
        self._missed = 0
        self._gone = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._encoding

    @property
    def idle(self) -> bool:
        """Whether everything has been handed on."""
        return self._texts.empty()

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def isatty(self) -> bool:
        return self._out.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not self._gone and not self.closed:
            with suppress(queue.Full):
                if self._missed:
                    self._texts.put_nowait(f"({self._missed} texts left out: nobody read them)\n")
                    self._missed = 0
                self._texts.put_nowait(text)
                return len(text)
            self._missed += 1
        return len(text)

    def flush(self) -> None:
        """Does nothing: it would have to wait."""

    def close(self) -> None:
        """Waits at most `LAST_SECONDS` for what is to be written. `out` stays open."""
        if not self.closed:
            with suppress(queue.Full):
                self._texts.put(None, timeout=LAST_SECONDS)
            self._thread.join(LAST_SECONDS)
        super().close()

    def _run(self) -> None:
        while (text := self._texts.get()) is not None:
            if self._gone:
                continue
            try:
                self._hand_on(encodable(text, self._encoding))
            except OSError as error:
                self._gone = error.errno in READER_GONE
            except ValueError:  # `out` was closed
                self._gone = True

    def _hand_on(self, text: str) -> None:
        if self._descriptor is None:
            self._out.write(text)
            self._out.flush()
            return
        # Not through `out`: a thread that is stuck in its buffer would keep Python from ending.
        data = memoryview(text.encode(self._encoding))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # a descriptor that somebody made non-blocking
                select.select([], [self._descriptor], [], LOOK_SECONDS)
