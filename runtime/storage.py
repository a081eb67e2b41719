"""A full disk: how it is told from other failures, how long work waits for space instead of failing, and who waits."""

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
"""How long to wait for a person to make space. Longer than the supervisor remembers deaths, so that a run whose disk is
full for hours is never given up for it."""
RETRY_SECONDS = 0.2
STORAGE_FULL = "storage_full"
"""The gauge of a `Health` that is 1 while that process cannot write."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = "No space left on device"
"""What libraries say that raise errors of their own."""


def is_full(error: BaseException) -> bool:
    """Whether something failed because there is no room for it."""
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _FULL):
        return True
    return _WORDS in str(error)


class Waited(NamedTuple):
    """How long this process could not write, and the first reason for it."""

    seconds: float
    why: str


class Waits:
    """The waits for space of one process, as one: it begins with the first and is over when none is left."""

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
        """Somebody waits for as long as the context lasts."""
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
        """Those that are over and were not yet taken."""
        over, self._over = self._over, []
        return over


HERE = Waits()
"""This process's."""


async def when_there_is_room(
    attempt: Callable[[], Awaitable[T]], *, seconds: float = STORAGE_SECONDS, own: bool = True
) -> T:
    """The attempt's result, tried again for as long as it fails for lack of space.

    `own` says whether this process is the one that writes: then its heartbeats say that it waits. The hub says so
    itself when it cannot write what others ask it to.

    Raises:
        StorageFull, OSError: still so after `seconds`.
        Exception: whatever else the attempt failed with.
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
