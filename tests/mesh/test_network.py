"""A network that cuts, tears, stops, slows down and forgets costs time, and no message."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Act, Action, Adapter, Fault
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import connect
from runtime.sockets import background
from scripts.soaking.checker import examine
from scripts.soaking.proxy import Proxy, proxied
from scripts.soaking.storm import storm
from services.settings import Evaluator, Simulator, Trainer
from tests.builders import act, round_
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio
SECONDS = 30
COUNT = 40


async def cut(proxy: Proxy) -> None:
    proxy.cut()


async def halve(proxy: Proxy) -> None:
    proxy.halve()


async def forget(proxy: Proxy) -> None:
    proxy.forget()


async def partition(proxy: Proxy) -> None:
    proxy.hold()
    await anyio.sleep(0.8)  # longer than a session lives without a word
    proxy.go_on()


async def slow(proxy: Proxy) -> None:
    proxy.delay, proxy.bytes_per_second = 0.02, 100_000
    await anyio.sleep(0.5)
    proxy.heal()


@pytest.mark.parametrize("fault", [cut, halve, forget, partition, slow])
async def test_what_is_said_over_a_failing_network_arrives_once_and_in_order(
    fault: Callable[[Proxy], Awaitable[None]], hub_settings: HubSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.sockets.HEARTBEAT_MS", 100)
    monkeypatch.setattr("runtime.sockets.SILENT_MS", 300)
    settings = msgspec.structs.replace(hub_settings, session_seconds=0.5)
    handled: list[int] = []
    with anyio.fail_after(SECONDS):
        async with (
            serve_hub(settings),
            proxied(settings.endpoint) as proxy,
            connect(proxy.endpoint, role="trainer", instance="t", timeout=SECONDS) as publisher,
            connect(proxy.endpoint, role="critic", instance="c", timeout=SECONDS) as member,
            connect(proxy.endpoint, role="observer", instance="o", timeout=SECONDS) as reader,
            background() as tasks,
        ):
            offsets: list[int] = []

            async def publish() -> None:
                for number in range(COUNT):
                    offsets.append(await publisher.publish("rounds", round_(number), id=str(number)))
                    if number in (COUNT // 3, COUNT // 2):
                        await fault(proxy)

            async def handle() -> None:
                async with member.consume("rounds", group="g", max_in_flight=1) as stream:
                    async for delivery in stream:
                        if delivery.offset not in handled:
                            handled.append(delivery.offset)
                        await delivery.ack()

            tasks.start_soon(publish)
            tasks.start_soon(handle)
            async with reader.subscribe("rounds", start="start") as stream:
                seen = [(await anext(stream)).id for _ in range(COUNT)]
            assert seen == [str(number) for number in range(COUNT)]
            while (await reader.status()).lag.get("g:rounds") != 0:
                await anyio.lowlevel.checkpoint()
            assert sorted(handled) == sorted(offsets)
            assert proxy.accepted > 3 or fault in (partition, slow)


async def test_a_call_over_a_partition_is_answered_when_it_is_over(hub: HubSettings) -> None:
    async def answer(_: Act) -> Action:
        return Action(action="done", version=0)

    with anyio.fail_after(SECONDS):
        async with (
            proxied(hub.endpoint) as proxy,
            connect(proxy.endpoint, role="actor", instance="a") as actor,
            connect(hub.endpoint, role="simulator", instance="s") as caller,
            background() as tasks,
        ):
            tasks.start_soon(partial(actor.serve, "act", answer, capacity=1))
            assert (await caller.call("act", act(), timeout=SECONDS)).action == "done"
            proxy.hold()
            async with anyio.create_task_group() as calls:
                calls.start_soon(partial(caller.call, "act", act(), timeout=SECONDS))
                await anyio.wait_all_tasks_blocked()
                proxy.go_on()


async def test_a_storm_of_faults_around_a_hub_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    with anyio.fail_after(4 * SECONDS):
        found, faults = await storm(tmp_path / "run", seed=11, faults=60, messages=51)
    assert found.sound, found
    assert found.acknowledged > 50 and faults.total() >= 60


async def test_a_run_over_a_failing_network_learns_the_same(short_path: Path) -> None:
    tiny = {"simulator": Simulator(quota=12, episodes=4), "trainer": Trainer(min_rows=2)}
    settings = msgspec.structs.replace(SMALL, evaluator=Evaluator(tasks=2, judgements=2, episodes=2), **tiny)
    learned: list[dict[tuple[str, int], tuple[str, str]]] = []
    for failing in (False, True):
        folder = short_path / str(failing)
        folder.mkdir()
        with anyio.fail_after(4 * SECONDS):
            async with whole_mesh(folder, settings, roles=()) as whole, proxied(whole.hub.endpoint) as proxy:
                whole.endpoint = proxy.endpoint
                for role in ("simulator", "actor", "critic", "relabeler", "trainer", "evaluator"):
                    whole.start(role)
                async with whole.connect("onlooker", "onlooker-0") as mesh, background() as tasks:

                    async def fail() -> None:
                        for fault in (cut, halve, partition, cut, slow, halve, cut) * 20:
                            await anyio.sleep(0.3)
                            await fault(proxy)

                    if failing:
                        tasks.start_soon(fail)
                    log = await until_over(mesh)
            found = examine(whole.run)
            assert found.sound, found
        learned.append({(a.role, a.version): (a.dataset, a.digest) for a in of(log, Adapter)})
        assert not of(log, Fault) or Counter(f.service for f in of(log, Fault)).keys() <= {"trainer-0"}
    assert learned[0] == learned[1] and len(learned[0]) == 4
