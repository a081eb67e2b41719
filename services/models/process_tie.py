"""Kills a child process when its parent process dies for any reason. Linux only; does nothing elsewhere."""

import multiprocessing
import os

from runtime.parent_death import die_with_parent

VARIABLE = "SELU_ENGINE_PARENT"
"""A process sets this to its own pid before it starts children that must die with it."""


def lead_children() -> None:
    """Makes the engine processes that this process starts later die with it."""
    os.environ[VARIABLE] = str(os.getpid())


def follow_parent() -> None:
    """Makes this multiprocessing child die with its parent, if the parent called `lead_children`.

    The kernel watches the *thread* that started the child, so the parent must keep that thread.
    """
    leader = os.environ.get(VARIABLE)
    parent = multiprocessing.parent_process()
    if leader is None or parent is None or leader == str(os.getpid()):
        return
    die_with_parent(parent=parent.pid)
