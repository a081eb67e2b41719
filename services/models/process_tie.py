"""Kills a child process when its parent process dies for any reason. Linux only; does nothing elsewhere."""

import ctypes
import multiprocessing
import os
import signal
import sys

VARIABLE = "SELU_ENGINE_PARENT"
"""A process sets this to its own pid before it starts children that must die with it."""

_PR_SET_PDEATHSIG = 1


def lead_children() -> None:
    """Makes the engine processes that this process starts later die with it."""
    os.environ[VARIABLE] = str(os.getpid())


def follow_parent() -> None:
    """Makes this multiprocessing child die with its parent, if the parent called `lead_children`.

    The kernel watches the *thread* that started the child, so the parent must keep that thread.
    """
    leader = os.environ.get(VARIABLE)
    parent = multiprocessing.parent_process()
    if leader is None or parent is None or sys.platform != "linux" or leader == str(os.getpid()):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent.pid:  # the parent died before prctl took effect
        os._exit(1)
