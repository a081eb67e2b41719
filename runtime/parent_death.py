"""What ends a process when the one that started it is gone: Linux's prctl, and a pipe whose other end that one holds.

Only the standard library: the process that holds a Unity player runs without any other package.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36


def die_with_parent(how: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Has the kernel send this process a signal when its parent dies. Linux only; elsewhere it does nothing.

    The kernel watches the *thread* that started this process. It sends nothing for a parent that is dead already: with
    ``parent``, the process id of the one that started it, this process then ends at once.
    """
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, how)
    if parent is not None and os.getppid() != parent:  # it died before the line above
        os._exit(1)


def when_closed(descriptor: int, then: Callable[[], object]) -> None:
    """Calls ``then`` in a thread of its own when no process holds the pipe's other end any more. Returns at once."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(descriptor, 1):
                pass
        then()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def adopt_orphans() -> None:
    """Makes this process the parent of all that it started and that lost its own, so that it can reap them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """What ``ps -o comm`` and ``top`` call this process; Linux keeps 15 bytes of it."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        _libc().prctl(option, value, 0, 0, 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
