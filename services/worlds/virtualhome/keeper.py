"""Supervises a Unity player: ``python keeper.py COMMAND...`` starts it in its own process group.

When standard input closes, because the world closed it or its process died, all descendants get SIGTERM (an X display
then removes its lock file), later SIGKILL, and are reaped. When the player exits, this process exits with its exit
code. Uses only the standard library, because it must start fast.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
NOT_STARTED = 126
"""The exit code if the command could not be run."""
TIDY_SECONDS, POLL_SECONDS = 1.5, 0.01
"""The time between SIGTERM and SIGKILL, and the polling interval."""


def main() -> int:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphaned children of the player are reaped here too

    def tie() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    try:
        player = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=tie)
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[1]}: {error}\n")
        return NOT_STARTED
    threading.Thread(target=_hold, daemon=True).start()
    code = player.wait()
    _reap()  # the player's remaining children
    return code if code >= 0 else 128 - code


def _hold() -> None:
    while os.read(0, 1):
        pass
    _signal(signal.SIGTERM)
    time.sleep(TIDY_SECONDS)
    _signal(signal.SIGKILL)


def _reap() -> None:
    """Ends and reaps all descendants, until this process has no children. As a subreaper it inherits them all."""
    until = time.monotonic() + TIDY_SECONDS
    _signal(signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if not ended:
                time.sleep(POLL_SECONDS)
            if time.monotonic() > until:
                _signal(signal.SIGKILL)


def _signal(how: int) -> None:
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, how)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text(encoding="utf-8").split()):
                found += [child, *_descendants(child)]
    return found


if __name__ == "__main__":
    sys.exit(main())
