"""Ends a process after its parent has ended: by Linux's prctl, and by a pipe whose other end the parent holds.

It uses only the standard library, because the process that runs a Unity player has no other packages.
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
    """Asks the kernel to send this process a signal when its parent ends. Does nothing on systems other than Linux.

    The kernel sends it when the parent *thread* that started this process ends, and not if it has ended already.
    ``parent`` is the parent's process id: with it, this process exits at once if the parent has already ended.
    """
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, how)
    if parent is not None and os.getppid() != parent:  # the parent ended before the prctl
        os._exit(1)


def when_closed(descriptor: int, then: Callable[[], object]) -> None:
    """Calls ``then`` in a new thread when no process holds the pipe's write end any more. Returns at once."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(descriptor, 1):
                pass
        then()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def adopt_orphans() -> None:
    """Makes this process the parent of its orphaned descendants (child subreaper), which it must then reap."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Sets the name that ``ps -o comm`` and ``top`` show for this process. Linux keeps 15 bytes of it."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        _libc().prctl(option, value, 0, 0, 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
