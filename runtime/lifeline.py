"""How a process and all it started end when its launcher is gone, however the launcher went.

The launcher holds the write end of a pipe; each child watches the read end. The kernel closes the pipe with the
launcher, even under SIGKILL. A child then asks itself to end, and after a grace kills its whole process group.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

import psutil

ORPHAN_SECONDS = 3.0
"""How long a child may go on tidying up after its launcher is gone."""

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


def watch(descriptor: int, grace: float = ORPHAN_SECONDS) -> None:
    """Ties this process to the pipe's other end. Returns at once.

    What is killed after the grace is the process's group, where it leads one, as the supervisor's children do.
    """
    os.set_inheritable(descriptor, False)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:  # inherited; our launcher ends us with it all the same
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(descriptor, grace), name="lifeline", daemon=True).start()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _watch(descriptor: int, grace: float) -> None:
    with suppress(OSError):
        while os.read(descriptor, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def name_process(name: str) -> None:
    """What ``ps -o comm`` and ``top`` call this process; Linux keeps 15 bytes of it."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def end_group() -> None:
    """Kills everything else in the group that this process leads: its last act. Does nothing where it leads none."""
    group = os.getpid()
    if os.getpgid(0) != group:
        return
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if process.pid != group and os.getpgid(process.pid) == group:
                process.kill()
