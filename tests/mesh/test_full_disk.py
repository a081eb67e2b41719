"""A full disk: nothing more is acknowledged, an alarm is raised, and when there is space everything goes on."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from protocols.messages import Fault, Health, Round
from runtime.mesh import Mesh, connect
from runtime.runfolder import RunFolder
from runtime.sockets import background
from runtime.storage import STORAGE_FULL
from scripts.soaking.checker import examine, read
from scripts.soaking.hubs import Hubs, hubs
from tests.builders import round_
from tests.mesh.disks import KINDS, disk
from tests.mesh.launched import launched, seen

pytestmark = pytest.mark.anyio
SECONDS = 120


async def alarm(mesh: Mesh, full: bool) -> None:
    """Returns when the hub says that its disk is full, or that it no longer is."""
    async with mesh.listen("health") as stream:
        async for delivery in stream:
            if isinstance(delivery.message, Health) and delivery.message.gauges.get(STORAGE_FULL) == full:
                return


def join(hub: Hubs) -> AbstractAsyncContextManager[Mesh]:
    key = hub.key("t", "trainer")
    return connect(hub.run.endpoint, role="trainer", instance="t", key=key, timeout=SECONDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hub_without_space_acknowledges_nothing_and_says_so_until_there_is_some(
    kind: str, tmp_path: Path
) -> None:
    published: list[int] = []
    acknowledged = anyio.Event()
    with anyio.fail_after(SECONDS), disk(kind, tmp_path / "disk") as small:
        async with (
            hubs(small.folder / "run") as hub,
            join(hub) as mesh,
            mesh.consume("rounds", group="g") as consumer,
            background() as tasks,
        ):
            before = await mesh.publish("rounds", round_(0), id="0")
            held = await anext(consumer)
            small.fill([hub.pid])

            async def publish(number: int) -> None:
                published.append(await mesh.publish("rounds", round_(number), id=str(number)))

            async def acknowledge() -> None:
                await held.ack()
                acknowledged.set()

            for number in range(1, 30):
                tasks.start_soon(publish, number)
            tasks.start_soon(acknowledge)
            await alarm(mesh, full=True)
            for _ in range(2):  # the alarm goes on, and all have tried again
                await alarm(mesh, full=True)
            assert (await mesh.status()).counts["refused_storage_full"] >= 60
            assert not published and not acknowledged.is_set()
            assert await mesh.tail() == before, "what was there can be read"

            small.free([hub.pid])
            async with mesh.subscribe("rounds", "faults", start="start") as stream:
                got = []
                while len(got) < 31:
                    got.append((await anext(stream)).message)
            await acknowledged.wait()
            assert sorted(m.number for m in got if isinstance(m, Round)) == list(range(30))
            (fault,) = [m for m in got if isinstance(m, Fault)]
            assert fault.service == "hub" and "nothing could be written for" in fault.what
            assert "free space" in fault.why
            hub.kill()
            await mesh.publish("rounds", round_(99), id="99")
            again = [(await anext(consumer)).id for _ in range(30)]
            assert "0" not in again and len(set(again)) == 30, "it was acknowledged, and that is on disk"
        assert examine(RunFolder(small.folder / "run")).sound


async def test_a_hub_that_is_killed_while_its_disk_is_full_comes_back_when_there_is_space(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS), disk("small disk", tmp_path / "disk") as small:
        async with (
            hubs(small.folder / "run") as hub,
            join(hub) as mesh,
            anyio.create_task_group() as tasks,
        ):
            await mesh.publish("rounds", round_(1), id="1")
            small.fill([hub.pid])
            tasks.start_soon(lambda: mesh.publish("rounds", round_(2), id="2"))
            await alarm(mesh, full=True)
            before = hub.pid
            hub.kill()
            (small.folder / "run" / "log.sqlite-shm").unlink(missing_ok=True)
            small.fill([])  # not even the log can be opened
            await hub.born.until(lambda: hub.pid not in (0, before))
            small.free([])
            assert await mesh.publish("rounds", round_(1), id="1") == 1
        assert set(read(RunFolder(small.folder / "run"))["rounds"]) == {"1", "2"}


async def test_a_run_waits_for_space_and_learns_the_same(tmp_path: Path) -> None:
    learned = []
    for full in (False, True):
        folder = tmp_path / str(full)
        folder.mkdir()
        with anyio.fail_after(SECONDS), disk(KINDS[1], folder / "disk") as small:
            async with launched(small.folder / "run") as run:
                if full:
                    await seen(run, "verdicts", 3)
                    small.fill(run.pids)
                    async with connect(run.run.endpoint, role="observer", instance="o", timeout=SECONDS) as mesh:
                        for _ in range(3):  # long enough for all to have tried again
                            await alarm(mesh, full=True)
                    small.free(run.pids)
                assert await run.process.wait() == 0, (small.folder / "launcher.txt").read_text()
            found = examine(run.run)
            assert found.sound, found
            faults = read(run.run)["faults"].values()
            assert any(isinstance(f, Fault) and "nothing could be written for" in f.what for f in faults) == full
            learned.append(found.learned)
    assert learned[0] == learned[1] and learned[0]
