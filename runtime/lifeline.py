"""How a process and all it started end when its launcher is gone, however the launcher went.

The launcher holds the write end of a pipe; each child watches the read end. The kernel closes the pipe with the
launcher, even under SIGKILL. A child then asks itself to end, and after a grace kills its whole process group.
"""

import os
import signal
import time
from contextlib import suppress

import psutil

from runtime.parent_death import die_with_parent, name_process, when_closed

__all__ = ["ORPHAN_SECONDS", "end_group", "name_process", "watch"]

ORPHAN_SECONDS = 3.0
"""How long a child may go on tidying up after its launcher is gone."""


def watch(descriptor: int, grace: float = ORPHAN_SECONDS) -> None:
    """Ties this process to the pipe's other end. Returns at once.

    What is killed after the grace is the process's group, where it leads one, as the supervisor's children do.
    """
    os.set_inheritable(descriptor, False)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:  # inherited; our launcher ends us with it all the same
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    when_closed(descriptor, lambda: _end(grace))
    die_with_parent(signal.SIGTERM)


def _end(grace: float) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def end_group() -> None:
    """Kills everything else in the group that this process leads: its last act. Does nothing where it leads none."""
    group = os.getpid()
    if os.getpgid(0) != group:
        return
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if process.pid != group and os.getpgid(process.pid) == group:
                process.kill()
