"""Simulates a full disk for some processes: a file size limit of 0 makes every write to a file fail."""

import resource
from collections.abc import Iterable
from contextlib import suppress


def fill(pids: Iterable[int]) -> None:
    """Makes writes to files fail in these processes and in those that they start from now on."""
    _limit(pids, 0)


def free(pids: Iterable[int]) -> None:
    """Lets these processes write again. Parents must come before their children, which inherit the limit."""
    _limit(pids, resource.RLIM_INFINITY)


def _limit(pids: Iterable[int], size: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
