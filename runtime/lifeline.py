"""Parent watchdog: ends a process and its children when the launcher ends, for any reason.

The launcher holds the write end of a pipe, and each child watches the read end. The kernel closes the pipe when the
launcher ends, even by SIGKILL. A child then sends SIGTERM to itself, and kills its process group after a grace.
"""

import os
import signal
import time
from contextlib import suppress

import psutil

from runtime.parent_death import die_with_parent, when_closed

ORPHAN_SECONDS = 3.0
"""How long a child may take to shut down after its launcher has ended."""


def watch(descriptor: int, grace: float = ORPHAN_SECONDS) -> None:
    """Starts to watch the read end of the launcher's pipe in a thread. Returns at once.

    After the grace, the process group is killed if this process leads one, as the supervisor's children do; else only
    this process.
    """
    os.set_inheritable(descriptor, False)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:  # inherited, but the launcher stops children with SIGTERM
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
    """Kills all other processes of the group that this process leads. Does nothing if it leads none."""
    group = os.getpid()
    if os.getpgid(0) != group:
        return
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if process.pid != group and os.getpgid(process.pid) == group:
                process.kill()
