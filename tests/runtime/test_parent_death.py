"""A process is gone once the one that started it is, whichever way it is tied to it."""

import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime.parent_death import when_closed

ROOT = Path(__file__).parents[2]
SECONDS = 20.0

STARTER = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
"""Starts a child, tells its pid once that has said something, and lives until its own input ends."""

CHILD = """
import signal, sys
from runtime.parent_death import die_with_parent
die_with_parent(parent=int(sys.argv[1]))
print(flush=True)
while True: signal.pause()
"""


def gone(pid: int) -> bool:
    """Whether a process that is not ours ends before the deadline."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], SECONDS)[0])
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_tied_process_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
        assert gone(child)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_whose_parent_is_dead_already_ends_at_once() -> None:
    program = "from runtime.parent_death import die_with_parent; die_with_parent(parent=2**22 + 1); print('lives')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=SECONDS, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_a_closed_pipe_is_told_once_and_bytes_in_it_are_not() -> None:
    told, (end, held) = threading.Event(), os.pipe()
    calls: list[None] = []

    def then() -> None:
        calls.append(None)
        told.set()

    when_closed(end, then)
    os.write(held, b"still here")
    assert not told.is_set()
    os.close(held)
    assert told.wait(SECONDS)
    os.close(end)
    assert calls == [None]


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = (
        f"import sys; sys.path.append({str(ROOT)!r}); import runtime.parent_death; "
        "print([m for m in sys.modules if m.partition('.')[0] not in sys.stdlib_module_names])"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert said.stdout.strip() == "['__main__', 'runtime', 'runtime.parent_death']"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_an_adopted_orphan_can_be_reaped() -> None:
    program = (
        "import os\n"
        "from runtime.parent_death import adopt_orphans\n"
        "adopt_orphans()\n"
        "middle = os.fork()\n"
        "if not middle: os._exit(0 if os.fork() else 7)\n"
        "codes = sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2))\n"
        "print(codes)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT, check=True
    )
    assert said.stdout.strip() == "[0, 7]"
