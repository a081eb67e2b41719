"""A full disk: how it is told from other failures, and how long work waits for space instead of failing."""

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from protocols.errors import StorageFull

T = TypeVar("T")

log = logging.getLogger("selu.storage")

STORAGE_SECONDS = 600.0
"""How long to wait for a person to make space. Longer than the supervisor remembers deaths, so that a run whose disk is
full for hours is never given up for it."""
RETRY_SECONDS = 0.2

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = "No space left on device"
"""What libraries say that raise errors of their own."""


def is_full(error: BaseException) -> bool:
    """Whether something failed because there is no room for it."""
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _FULL):
        return True
    return _WORDS in str(error)


async def when_there_is_room(attempt: Callable[[], Awaitable[T]], *, seconds: float = STORAGE_SECONDS) -> T:
    """The attempt's result, tried again for as long as it fails for lack of space.

    Raises:
        StorageFull, OSError: still so after `seconds`.
        Exception: whatever else the attempt failed with.
    """
    deadline = anyio.current_time() + seconds
    told = False
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_full(error) or anyio.current_time() > deadline:
                raise
            if not told:
                log.error("waiting for space: %s", error)
                told = True
        await anyio.sleep(RETRY_SECONDS)
