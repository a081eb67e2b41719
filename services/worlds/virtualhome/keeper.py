"""Supervises a Unity player: ``python keeper.py COMMAND...`` starts it in its own process group.

When standard input closes, because the world closed it or its process died, all descendants get SIGTERM (an X display
then removes its lock file), later SIGKILL, and are reaped. When the player exits, this process exits with its exit
code. It must start fast, so it imports only the standard library and `runtime.parent_death`, which needs nothing else.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3]))  # Python runs isolated (-I), without this path
from runtime.parent_death import adopt_orphans, die_with_parent, when_closed

NOT_STARTED = 126
"""The exit code if the command could not be run."""
TIDY_SECONDS, POLL_SECONDS = 1.5, 0.01
"""The time between SIGTERM and SIGKILL, and the polling interval."""


def main() -> int:
    adopt_orphans()  # orphaned children of the player are reaped here too
    holder = os.getpid()
    try:
        player = subprocess.Popen(
            sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent=holder),
        )  # fmt: skip
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[1]}: {error}\n")
        return NOT_STARTED
    when_closed(0, _end)
    code = player.wait()
    _reap()  # the player's remaining children
    return code if code >= 0 else 128 - code


def _end() -> None:
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
