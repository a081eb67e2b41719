"""A writer to a terminal or pipe that may be slow, blocked or closed, and that never blocks the run."""

import io
import os
import queue
import select
import threading
from contextlib import suppress
from typing import TextIO

from scripts.output import READER_GONE, encodable

TEXTS = 1000
"""Texts that wait for a blocked reader (``| less``, Ctrl-S); further ones are dropped."""
LAST_SECONDS = 10.0
"""Longest wait for unwritten text at the end of a run."""
LOOK_SECONDS = 1.0
"""Interval of retries while a pipe is full."""


class Writer(io.TextIOBase):
    """A text file over `out` whose `write` never blocks or fails: a separate thread writes the text.

    Text that a full disk rejects is dropped. After the reader has closed, nothing more is written.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._encoding = getattr(out, "encoding", None) or "utf-8"
        try:
            self._descriptor: int | None = out.fileno()
        except (OSError, ValueError, AttributeError):  # a file object in memory
            self._descriptor = None
        with suppress(OSError, ValueError):
            out.flush()  # earlier output comes first
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
        """Whether all text has been taken by the writing thread."""
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
        """Does nothing, because flushing would block."""

    def close(self) -> None:
        """Waits at most `LAST_SECONDS` for unwritten text. `out` stays open."""
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
        # Not through `out`: a thread blocked in its buffer would keep Python from exiting.
        data = memoryview(text.encode(self._encoding))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process made the descriptor non-blocking
                select.select([], [self._descriptor], [], LOOK_SECONDS)
