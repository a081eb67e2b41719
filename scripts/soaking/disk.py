"""A disk that is full for some processes: their files may not grow by a byte, which they meet as a failed write."""

import resource
from collections.abc import Iterable
from contextlib import suppress


def fill(pids: Iterable[int]) -> None:
    """From now on these processes, and those that they start, write nothing to any file."""
    _limit(pids, 0)


def free(pids: Iterable[int]) -> None:
    """There is space again. Of processes that start others, name the starters first."""
    _limit(pids, resource.RLIM_INFINITY)


def _limit(pids: Iterable[int], size: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
