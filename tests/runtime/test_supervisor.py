"""Supervision with real processes: restarts, budgets, orderly ends, and nothing left over."""

import os
import resource
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream

from runtime.signals import send
from runtime.supervisor import HOPELESS, Exit, Spec, Supervisor, supervise

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def python(code: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *map(str, arguments))


SAY = """
import os, signal, subprocess, sys
def say(*words): os.write(int(sys.argv[1]), (' '.join(map(str, words)) + chr(10)).encode())
"""
SLEEPER = SAY + "print('last words', flush=True); say('up'); signal.pause()"
INNER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
STUBBORN = f"""{SAY}
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-S', '-c', {INNER!r}], stdout=subprocess.PIPE)
child.stdout.readline()
say(os.getpid(), child.pid)
while True: signal.pause()
"""


class Ear:
    """A pipe on which other processes say lines, so that tests wait for what happens there."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        self._heard = b""

    async def line(self) -> str:
        while b"\n" not in self._heard:
            await anyio.wait_readable(self._read)
            self._heard += os.read(self._read, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    async def pids(self) -> list[int]:
        return [int(word) for word in (await self.line()).split()]


class Watched:
    """A supervisor, the exits it told of, and an ear for its children."""

    def __init__(self, supervisor: Supervisor, exits: MemoryObjectReceiveStream[Exit], ear: Ear) -> None:
        self.supervisor, self.exits, self.ear = supervisor, exits, ear

    async def start(self, instance: str, code: str, *arguments: object, stage: int = 1, grace: float = 3.0) -> None:
        argv = python(code, self.ear.write, *arguments)
        await self.supervisor.start(Spec(instance=instance, argv=argv, stage=stage, grace=grace))


@asynccontextmanager
async def watched(logs: Path, *, restarts: int = 2) -> AsyncGenerator[Watched]:
    send, receive = anyio.create_memory_object_stream[Exit](16)
    ear = Ear()
    with anyio.fail_after(20), send, receive:
        async with supervise(
            logs=logs, on_exit=send.send, restarts=restarts, backoff=(0.0, 0.0), pass_fds=[ear.write]
        ) as supervisor:
            yield Watched(supervisor, receive, ear)


async def gone(pid: int) -> None:
    """Returns once the process has ended, whoever its parent is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def test_a_killed_child_is_started_again_and_the_death_is_told_with_its_last_words(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("critic-0", SLEEPER)
        await w.ear.line()
        first = w.supervisor.pids["critic-0"]
        os.kill(first, signal.SIGKILL)
        exit = await w.exits.receive()
        assert (exit.instance, exit.pid, exit.signal, exit.code) == ("critic-0", first, "SIGKILL", None)
        assert exit.tail == ("last words",) and exit.again_in == 0.0 and "SIGKILL" in exit.how
        assert await w.ear.line() == "up"
        assert w.supervisor.restarts == {"critic-0": 1} and w.supervisor.pids["critic-0"] != first


async def test_a_child_that_keeps_failing_is_given_up_when_its_budget_is_spent(tmp_path: Path) -> None:
    async with watched(tmp_path, restarts=2) as w:
        await w.start("actor-0", "print('no model', flush=True); raise SystemExit(3)")
        exits = [await w.exits.receive() for _ in range(3)]
        assert [exit.code for exit in exits] == [3, 3, 3]
        assert [exit.again_in is None for exit in exits] == [False, False, True]
        assert exits[2].tail == ("no model",) and exits[2].deaths == 3
    assert w.supervisor.states == {"actor-0": "given up"}
    assert (tmp_path / "actor-0.log").read_text().count("no model") == 3


async def test_a_hopeless_child_is_not_tried_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("actor-0", f"raise SystemExit({HOPELESS})")
        exit = await w.exits.receive()
        assert exit.code == HOPELESS and exit.again_in is None


async def test_a_child_that_ends_well_is_left_ended(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("evaluator-0", "pass")
        exit = await w.exits.receive()
        assert exit.code == 0 and exit.again_in is None and exit.deaths == 0


async def test_a_command_that_cannot_be_run_is_told_with_the_reason(tmp_path: Path) -> None:
    async with watched(tmp_path, restarts=0) as w:
        await w.supervisor.start(Spec(instance="x", argv=("/nowhere/python",)))
        exit = await w.exits.receive()
        assert exit.how == "could not be started" and "/nowhere/python" in exit.tail[0] and exit.again_in is None


async def test_the_same_instance_cannot_be_kept_twice(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("a", SLEEPER)
        with pytest.raises(ValueError, match="already"):
            await w.start("a", SLEEPER)


POLITE = f"""{SAY}
def end(*_):
    say(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, end)
say('up')
while True: signal.pause()
"""


async def test_higher_stages_have_ended_before_lower_ones_are_asked(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        for name, stage in (("hub", 0), ("a", 1), ("b", 1)):
            await w.start(name, POLITE, name, stage=stage)
            await w.ear.line()
        await w.supervisor.stop()
        order = [await w.ear.line() for _ in range(3)]
        assert sorted(order[:2]) == ["a", "b"] and order[2] == "hub"
        assert set(w.supervisor.states.values()) == {"stopped"} and not w.supervisor.pids


async def test_a_child_and_grandchild_that_ignore_sigterm_are_killed_after_the_grace(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("engine-0", STUBBORN, grace=0.1)
        pids = await w.ear.pids()
        await w.supervisor.stop()
        for pid in pids:
            await gone(pid)
        assert w.supervisor.forced == ["engine-0"]


async def test_a_dead_childs_whole_group_is_killed_with_it(tmp_path: Path) -> None:
    async with watched(tmp_path, restarts=0) as w:
        await w.start("engine-0", STUBBORN)
        leader, grandchild = await w.ear.pids()
        os.kill(leader, signal.SIGKILL)
        await w.exits.receive()
        await gone(grandchild)


async def test_a_cancelled_launcher_still_asks_its_children_before_it_goes(tmp_path: Path) -> None:
    ear = Ear()

    async def unexpected(exit: Exit) -> None:
        raise AssertionError(exit)

    with anyio.fail_after(20):
        with anyio.CancelScope() as scope:
            async with supervise(logs=tmp_path, on_exit=unexpected, pass_fds=[ear.write]) as supervisor:
                await supervisor.start(Spec(instance="a", argv=python(POLITE, ear.write, "asked")))
                assert await ear.line() == "up"
                scope.cancel()
                await anyio.sleep_forever()
        assert await ear.line() == "asked"


async def test_children_can_be_killed_at_once(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("engine-0", STUBBORN, grace=60.0)
        pids = await w.ear.pids()
        w.supervisor.kill()
        for pid in pids:
            await gone(pid)


LAUNCHER = f"""
import sys
from pathlib import Path
import anyio
from runtime.supervisor import Spec, supervise

CHILD = {SAY!r} + '''
from runtime import lifeline
lifeline.watch(int(sys.argv[2]), grace=0.3)
stubborn = sys.argv[3] == "stubborn"
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: (lifeline.end_group(), sys.exit()))
child = subprocess.Popen([sys.executable, "-S", "-c", sys.argv[4]], stdout=subprocess.PIPE)
child.stdout.readline()
say(os.getpid(), child.pid)
while True: signal.pause()
'''

async def main(ear):
    async def on_exit(exit): print(exit, file=sys.stderr)
    async with supervise(logs=Path(sys.argv[2]), on_exit=on_exit, pass_fds=[ear]) as s:
        for kind in ("polite", "stubborn"):
            argv = (sys.executable, "-c", CHILD, str(ear), str(s.lifeline), kind, {INNER!r})
            await s.start(Spec(instance=kind, argv=argv))
        await anyio.sleep_forever()

anyio.run(main, int(sys.argv[1]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_when_the_launcher_is_killed_nothing_it_started_is_left(tmp_path: Path, how: signal.Signals) -> None:
    ear = Ear()
    with anyio.fail_after(20):
        argv = [sys.executable, "-c", LAUNCHER, str(ear.write), str(tmp_path)]
        launcher = await anyio.open_process(argv, pass_fds=[ear.write], stdout=None, stderr=None)
        pids = [*await ear.pids(), *await ear.pids()]
        assert len(pids) == 4
        send(launcher, how)
        await launcher.wait()
        with anyio.fail_after(5):
            for pid in pids:
                await gone(pid)


async def test_a_child_that_lived_for_a_while_is_started_again_without_the_wait_of_its_early_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, receive = anyio.create_memory_object_stream[Exit](16)
    ear = Ear()
    with anyio.fail_after(20), send, receive:
        async with supervise(
            logs=tmp_path, on_exit=send.send, restarts=9, backoff=(0.01, 60.0), pass_fds=[ear.write]
        ) as supervisor:
            await supervisor.start(Spec(instance="a", argv=python(SLEEPER, ear.write)))
            waits = []
            for steady in (False, False, True, False):
                await ear.line()
                monkeypatch.setattr("runtime.supervisor.STEADY_SECONDS", 0.0 if steady else 60.0)
                os.kill(supervisor.pids["a"], signal.SIGKILL)
                waits.append((await receive.receive()).again_in)
            assert waits == [0.01, 0.02, 0.01, 0.02]


async def test_on_a_full_disk_a_child_that_died_is_started_again_without_its_log(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.start("critic-0", SAY + "say('up'); signal.pause()")
        await w.ear.line()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            os.kill(w.supervisor.pids["critic-0"], signal.SIGKILL)
            assert (await w.exits.receive()).signal == "SIGKILL"
            assert await w.ear.line() == "up"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
