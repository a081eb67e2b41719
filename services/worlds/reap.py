"""Ends processes completely: leaves no zombies, and no lock files of their X displays."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

TIDY_SECONDS, GONE_SECONDS = 1.0, 1.0
"""How long processes may take to exit after SIGTERM, and after SIGKILL."""
_POLL_SECONDS = 0.005


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """Returns all descendants of a process, by default of this one."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_all(processes: Sequence[psutil.Process]) -> None:
    """Sends SIGTERM to all processes and kills those that do not exit."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    left = _wait(processes, TIDY_SECONDS)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    _wait(left, GONE_SECONDS)


def end_family(process: "subprocess.Popen[bytes]") -> None:
    """Ends a child process and all of its descendants."""
    family = descendants(process.pid) if process.poll() is None else []
    with suppress(OSError):
        process.terminate()
    end_all(family)
    try:
        process.wait(TIDY_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Reaps processes as they exit. Returns those that are still running after ``seconds``."""
    until = time.monotonic() + seconds
    while (processes := [one for one in processes if _lives(one)]) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return list(processes)


def _lives(process: psutil.Process) -> bool:
    with suppress(ChildProcessError):  # another process must reap it
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
