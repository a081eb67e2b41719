"""Holds a Unity player on a leash: ``python keeper.py COMMAND...`` starts it in a process group of its own.

When standard input closes, because the world closed it or its process is gone, the whole group is killed and reaped.
When the player ends, so does this, with its exit code. Only the standard library: it must start at once.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
NOT_STARTED = 126
"""Exit code where the command could not be run."""


def main() -> int:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what the player starts is reaped here too

    def tie() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    try:
        player = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=tie)
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[1]}: {error}\n")
        return NOT_STARTED
    threading.Thread(target=_hold, args=(player.pid,), daemon=True).start()
    code = player.wait()
    _kill(player.pid)  # what it leaves behind
    _reap()
    return code if code >= 0 else 128 - code


def _hold(group: int) -> None:
    while os.read(0, 1):
        pass
    _kill(group)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _reap() -> None:
    """Kills and reaps what left the group, until this process has no children."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    found: list[int] = []
    for file in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in file.read_text().split()]
    return found


if __name__ == "__main__":
    sys.exit(main())
