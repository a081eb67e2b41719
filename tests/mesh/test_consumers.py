"""A consumer that is slow, or stopped altogether, costs nobody anything: it lags, catches up, and misses nothing."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.abc
import msgspec
import psutil
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from protocols import limits
from protocols.messages import Fault, Round
from runtime.hub import HubSettings, serve_hub
from runtime.journal import RECENT_BYTES
from runtime.mesh import Mesh, connect
from scripts.soaking.hubs import hubs
from tests.builders import round_
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 120
MESSAGES, TEXT = 6000, limits.TEXT_CHARS
"""120 MB in all, twice what the hub may remember."""
COUNT = 60

CONSUMER = """
import sys
import anyio
from runtime.mesh import connect

async def heard(live, word):
    async for delivery in live:
        if delivery.id.startswith(word):
            return

async def main(endpoint, count):
    async with (
        connect(endpoint, role="observer", instance="slow", timeout=60) as mesh,
        mesh.listen("faults") as live,
        mesh.subscribe("faults", start="start") as stream,
    ):
        await heard(live, "before")
        print("up", flush=True)
        ids = []
        while len(ids) < count:
            if (id := (await anext(stream)).id).isdigit():
                ids.append(id)
        assert ids == [str(number) for number in range(count)], "something is missing, twice there or out of order"
        print("all", flush=True)
        await heard(live, "after")
        print("live again", flush=True)

anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""


def lines(process: anyio.abc.Process) -> Callable[[], Awaitable[str]]:
    """Reads what a process says, a line a call."""
    assert process.stdout is not None
    buffered = BufferedByteReceiveStream(process.stdout)

    async def line() -> str:
        return (await buffered.receive_until(b"\n", 10_000)).decode()

    return line


async def test_a_stopped_consumer_catches_up_and_the_hubs_memory_stays_bounded(tmp_path: Path) -> None:
    async with hubs(tmp_path / "run") as hub:
        key = hub.key("t", "trainer")
        with anyio.fail_after(SECONDS):
            async with connect(hub.run.endpoint, role="trainer", instance="t", key=key, timeout=SECONDS) as mesh:
                argv = [sys.executable, "-c", CONSUMER, hub.run.endpoint, str(MESSAGES)]
                async with await anyio.open_process(argv, stderr=subprocess.STDOUT) as slow:
                    said = lines(slow)
                    assert await _publish_until(mesh, "before", said) == "up"
                    os.kill(slow.pid, signal.SIGSTOP)
                    before = psutil.Process(hub.pid).memory_info().rss
                    numbers = iter(range(MESSAGES))

                    async def publish() -> None:
                        for number in numbers:
                            await mesh.publish("faults", Fault(service="t", what="", why="y" * TEXT), id=str(number))

                    async with anyio.create_task_group() as tasks:
                        for _ in range(32):
                            tasks.start_soon(publish)
                    grown = psutil.Process(hub.pid).memory_info().rss - before
                    # The hub remembers recent messages, and ZeroMQ keeps what waits for the stopped listener.
                    assert grown < 2 * RECENT_BYTES + 1000 * TEXT + 48 * limits.MIB
                    os.kill(slow.pid, signal.SIGCONT)
                    assert await said() == "all"
                    assert await _publish_until(mesh, "after", said) == "live again"
                    assert await slow.wait() == 0


async def _publish_until(mesh: Mesh, word: str, said: Callable[[], Awaitable[str]]) -> str:
    """Publishes small messages until the consumer says something: when a live subscription begins is not announced."""
    line = ""

    async def listen(scope: anyio.CancelScope) -> None:
        nonlocal line
        line = await said()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, tasks.cancel_scope)
        for number in itertools.count():
            await mesh.publish("faults", Fault(service="t", what="", why=""), id=f"{word}-{number}")
    return line


async def test_a_slow_member_lags_and_its_group_handles_everything_once(
    hub_settings: HubSettings, join: Joiner
) -> None:
    handled: list[int] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve_hub(hub_settings),
            join("trainer") as trainer,
            join("critic") as quick,
            join("critic", "c-1") as slow,
            anyio.create_task_group() as tasks,
        ):
            gate = anyio.Event()

            async def work(mesh: Mesh, until: int, waits: bool) -> None:
                async with mesh.consume("rounds", group="g", max_in_flight=4, until=until) as stream:
                    async for delivery in stream:
                        if waits:
                            await gate.wait()
                        assert isinstance(delivery.message, Round)
                        handled.append(delivery.message.number)
                        await delivery.ack()

            for number in range(COUNT):
                await trainer.publish("rounds", round_(number))
            tail = await trainer.tail()
            tasks.start_soon(work, slow, tail, True)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(work, quick, tail, False)
            while len(handled) < COUNT - 4:  # all but those that the slow one holds
                await anyio.lowlevel.checkpoint()
            assert (await trainer.status()).lag == {"g:rounds": 4}
            gate.set()
    assert sorted(handled) == list(range(COUNT))


async def test_a_member_that_says_nothing_for_too_long_loses_its_share_to_the_others(
    hub_settings: HubSettings, join: Joiner
) -> None:
    settings = msgspec.structs.replace(hub_settings, session_seconds=0.5)
    with anyio.fail_after(SECONDS):
        async with serve_hub(settings), join("trainer") as trainer:
            for number in range(3):
                await trainer.publish("rounds", round_(number))
            argv = [sys.executable, "-c", HOLDER, settings.endpoint]
            async with await anyio.open_process(argv, stderr=subprocess.STDOUT) as holder:
                said = lines(holder)
                assert await said() == "holds 3"
                os.kill(holder.pid, signal.SIGSTOP)
                async with join("critic", "heir") as heir, heir.consume("rounds", group="g") as stream:
                    got = [await anext(stream) for _ in range(3)]
                    assert all(delivery.redelivered for delivery in got)
                    for delivery in got[:2]:
                        await delivery.ack()
                    os.kill(holder.pid, signal.SIGCONT)  # it acknowledges what it held, late
                    assert await said() == "done"
                    assert await holder.wait() == 0
                    assert (await trainer.status()).lag == {"g:rounds": 0}


HOLDER = """
import sys
import anyio
from runtime.mesh import connect

async def main(endpoint):
    async with connect(endpoint, role="critic", instance="holder") as mesh:
        async with mesh.consume("rounds", group="g") as stream:
            held = [await anext(stream) for _ in range(3)]
            print("holds", len(held), flush=True)
            with anyio.move_on_after(30):
                while not (await mesh.status()).sessions.get("heir"):
                    await anyio.sleep(0.05)
            for delivery in held:
                await delivery.ack()
    print("done", flush=True)

anyio.run(main, sys.argv[1])
"""
