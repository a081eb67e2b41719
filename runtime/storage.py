"""Handling of a full disk: recognises the error, retries until there is space, and tracks the waits of a process."""

import errno
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, TypeVar

import anyio

from protocols.errors import StorageFull

T = TypeVar("T")

log = logging.getLogger("selu.storage")

STORAGE_SECONDS = 600.0
"""How long to wait until a person makes space. As long as the supervisor's restart window, so that the restarts of a
run with a full disk never use up its restart budget."""
RETRY_SECONDS = 0.2
STORAGE_FULL = "storage_full"
"""The gauge of a `Health` that is 1 while that process cannot write."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = "No space left on device"
"""The text in errors of libraries that do not raise `OSError`."""


def is_full(error: BaseException) -> bool:
    """Returns whether an error means that the disk, a quota or the file size limit is exhausted."""
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _FULL):
        return True
    return _WORDS in str(error)


class Waited(NamedTuple):
    """How long this process could not write, in seconds, and the first error."""

    seconds: float
    why: str


class Waits:
    """Tracks the waits for space of one process. Overlapping waits count as one. True in a condition during a wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting = 0
        self._since = 0.0
        self._why = ""
        self._over: list[Waited] = []

    def __bool__(self) -> bool:
        return self._waiting > 0

    @contextmanager
    def one(self, why: str) -> Generator[None]:
        """Counts a wait for the duration of the context."""
        if not self._waiting:
            self._since, self._why = self._clock(), why
            log.error("waiting for space: %s", why)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._over.append(Waited(self._clock() - self._since, self._why))
                log.warning("no longer waiting for space, after %.1f s", self._over[-1].seconds)

    def take_over(self) -> list[Waited]:
        """Returns the finished waits since the last call."""
        over, self._over = self._over, []
        return over


HERE = Waits()
"""The tracker of this process."""


async def when_there_is_room(
    attempt: Callable[[], Awaitable[T]], *, seconds: float = STORAGE_SECONDS, own: bool = True
) -> T:
    """Calls `attempt` until it does not fail for lack of space, and returns its result.

    `own` is True if this process itself writes to the disk: its heartbeats then report the wait. For writes by the hub
    it is False, because the hub reports its full disk itself.

    Raises:
        StorageFull, OSError: there was no space for `seconds`.
        Exception: any other error of the attempt, at once.
    """
    deadline = anyio.current_time() + seconds
    try:
        return await attempt()
    except Exception as error:
        if not is_full(error):
            raise
        why = str(error)
    with HERE.one(why) if own else nullcontext():
        while True:
            await anyio.sleep(RETRY_SECONDS)
            try:
                return await attempt()
            except Exception as error:
                if not is_full(error) or anyio.current_time() > deadline:
                    raise
