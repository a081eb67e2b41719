"""The held-out judgement set: last frames of the base actor's episodes, on which every critic version is measured.

Their truth stays with the evaluator: in memory, and in a file from which a restarted evaluator reads the same set.
"""

import errno
import os
from pathlib import Path

import anyio.to_thread
import msgspec

from protocols.messages import Digest, Task
from runtime import crash
from runtime.storage import when_there_is_room
from services.patience import Changes


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one episode: its task, its last third-person frame, and its true success.

    ``frame`` is None if the episode failed. It is then left out of every measurement.
    """

    index: int
    task: Task | None
    frame: Digest | None
    success: bool


class JudgementSet:
    """Grows as episodes end; `item` waits for one of them."""

    def __init__(self, file: Path, size: int) -> None:
        self._file = file
        self._size = size
        self._items: dict[int, Held] = {}
        self._changes = Changes()

    async def load(self) -> None:
        """Reads the items that an earlier process stored. Skips the incomplete line that a kill leaves."""
        for line in await anyio.to_thread.run_sync(_lines, self._file):
            try:
                held = msgspec.json.decode(line, type=Held)
            except msgspec.MsgspecError:
                continue
            self._items.setdefault(held.index, held)

    @property
    def missing(self) -> list[int]:
        return [index for index in range(self._size) if index not in self._items]

    async def add(self, held: Held) -> None:
        """Stores an item on disk, then makes it available."""
        crash.at("judgement.before")
        line = msgspec.json.encode(held)
        await when_there_is_room(lambda: anyio.to_thread.run_sync(_append, self._file, line))
        crash.at("judgement.after")
        self._items[held.index] = held
        self._changes.notify()

    async def item(self, index: int) -> Held:
        """Waits for the item with that index and returns it."""
        return await self._changes.until(lambda: self._items.get(index))


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.exists() else []


def _append(file: Path, line: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        whole = (b"\n" if torn else b"") + line + b"\n"
        if os.write(descriptor, whole) < len(whole):
            raise OSError(errno.ENOSPC, f"cannot write all of {file}")
    finally:
        os.close(descriptor)
