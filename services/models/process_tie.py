"""Ends a child process when the process that started it dies, however that happens. Linux only; elsewhere a no-op."""

import multiprocessing
import os

from runtime.parent_death import die_with_parent

VARIABLE = "SELU_ENGINE_PARENT"
"""Set to its own process id by the process whose children are to follow it."""


def lead_children() -> None:
    """Asks the engine processes that this process will start to follow it."""
    os.environ[VARIABLE] = str(os.getpid())


def follow_parent() -> None:
    """In a child that multiprocessing started below a leading process: die with the parent.

    The kernel watches the *thread* that started the child, so the leader starts children from a thread that it keeps.
    """
    leader = os.environ.get(VARIABLE)
    parent = multiprocessing.parent_process()
    if leader is None or parent is None or leader == str(os.getpid()):
        return
    die_with_parent(parent=parent.pid)
