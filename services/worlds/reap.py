"""Ends processes so that nothing of them stays behind: no zombie, and no lock file of an X display of theirs."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

TIDY_SECONDS, GONE_SECONDS = 1.0, 1.0
"""How long processes may tidy up after they were asked to end, and how long killed ones may take to be gone."""
_POLL_SECONDS = 0.005


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """All that a process, by default this one, has started, and what those have."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_all(processes: Sequence[psutil.Process]) -> None:
    """Asks all of them to end, and kills those that do not."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    left = _wait(processes, TIDY_SECONDS)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    _wait(left, GONE_SECONDS)


def end_family(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process that this one has started, and all that it started."""
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
    """Reaps those that end. Returns those that live on after so long."""
    until = time.monotonic() + seconds
    while (processes := [one for one in processes if _lives(one)]) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return list(processes)


def _lives(process: psutil.Process) -> bool:
    with suppress(ChildProcessError):  # it is somebody else's to reap
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
