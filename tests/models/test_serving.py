"""An engine on the mesh: adapters come, go and come back while requests are answered by the version they name."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from protocols.codec import adapter_digest, digest
from protocols.errors import NotFound
from protocols.messages import Adapter, Fault, Swap
from runtime.mesh import Mesh
from runtime.runfolder import RunFolder
from runtime.service import Service
from runtime.sockets import background
from services.models.adapters import store
from services.models.engine import EngineDead, Request
from services.models.scripted_engine import ScriptedEngine
from services.models.serving import Serving
from services.settings import Settings
from tests.conftest import Joiner

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hub")]

SECONDS = 10


async def publish(trainer: Mesh, folder: Path, version: int, *, skill: float = 0.5, **fields: object) -> Adapter:
    made = folder / f"made-{version}"
    made.mkdir()
    (made / "adapter_config.json").write_text("{}")
    (made / "adapter_model.json").write_text(json.dumps({"skill": skill, "mute": fields.pop("mute", False)}))
    files = await store(trainer, made)
    values: dict[str, object] = {
        "role": "actor", "version": version, "round": version, "parent": 0, "files": files,
        "digest": adapter_digest(files), "base_model": "scripted@1", "dataset": digest(b""), "rows": 9,
        "promoted": True,
    }  # fmt: skip
    adapter = Adapter(**{**values, **fields})  # type: ignore[arg-type]
    await trainer.publish("adapters", adapter, id=f"{adapter.role}@{version}")
    return adapter


class Stage:
    """A serving engine, the trainer's mesh, and what was said about swaps and faults."""

    def __init__(self, serving: Serving, engine: ScriptedEngine, trainer: Mesh, folder: Path) -> None:
        self.serving = serving
        self.engine = engine
        self.trainer = trainer
        self.folder = folder

    async def publish(self, version: int, **fields: object) -> Adapter:
        return await publish(self.trainer, self.folder, version, **fields)  # type: ignore[arg-type]

    async def swap(self, version: int) -> Swap:
        async with self.trainer.subscribe("swaps", start="start") as stream:
            async for delivery in stream:
                if isinstance(delivery.message, Swap) and delivery.message.version == version:
                    return delivery.message
        raise AssertionError

    async def ask(self, version: int) -> int:
        request = Request(prompt="?", image=b"png", image_id=digest(b"png"), version=version)
        (said,) = await self.serving.answer([request])
        return said.version


@asynccontextmanager
async def stage(join: Joiner, folder: Path, *, latency: float = 0.0) -> AsyncGenerator[Stage]:
    run = RunFolder.create(folder / "run") if not (folder / "run").exists() else RunFolder.open(folder / "run")
    with anyio.fail_after(SECONDS):
        async with join("actor", run=run) as mesh, join("trainer", run=run) as trainer, background() as tasks:
            engine = ScriptedEngine(role="actor", max_versions=2, latency=latency)
            service = Service(role="actor", instance="actor-0", mesh=mesh, run=run, settings=Settings())
            serving = Serving(service, engine, "actor", capacity=2)
            await tasks.start(serving.follow)
            yield Stage(serving, engine, trainer, folder)


async def test_a_new_adapter_is_served_and_announced_with_what_was_in_flight(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path) as on:
        assert await on.ask(0) == 0
        adapter = await on.publish(1)
        swap = await on.swap(1)
        assert (swap.served, swap.digest, swap.in_flight, swap.reason) == (True, adapter.digest, 0, None)
        assert on.serving.newest == 1
        assert await on.serving.ready(None) == 1
        assert await on.ask(1) == 1
        assert await on.ask(0) == 0


async def test_requests_under_way_finish_on_the_version_they_started_with(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path, latency=0.3) as on:
        said: list[int] = []

        async def one() -> None:
            said.append(await on.ask(0))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
            await on.publish(1)
            assert (await on.swap(1)).in_flight == 3
        assert said == [0, 0, 0]


async def test_a_request_waits_for_a_version_still_to_come(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path) as on:
        said: list[int] = []

        async def one() -> None:
            said.append(await on.ask(1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            await on.publish(1)
        assert said == [1]


async def test_an_adapter_that_cannot_be_served_is_refused_and_the_previous_goes_on(
    join: Joiner, short_path: Path
) -> None:
    async with stage(join, short_path) as on:
        await on.publish(1)
        await on.publish(2, mute=True)
        swap = await on.swap(2)
        assert not swap.served
        assert "canary" in (swap.reason or "")
        await on.publish(3, digest=digest(b"not this"))
        assert "digest" in ((await on.swap(3)).reason or "")
        assert on.serving.newest == 1
        assert await on.serving.ready(None) == 1
        with pytest.raises(NotFound, match="canary"):
            await on.ask(2)
        async with on.trainer.subscribe("faults", start="start") as stream:
            faults = [d.message.what async for d in stream.past() if isinstance(d.message, Fault)]
        assert faults == ["actor@2 is not served", "actor@3 is not served"]


async def test_adapters_of_the_other_role_and_those_not_promoted_are_not_loaded(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path) as on:
        await on.publish(1, role="critic")
        await on.publish(2, promoted=False, reason="collapsed")
        await on.publish(3)
        await on.swap(3)
        assert on.engine.versions == {0, 3}
        with pytest.raises(NotFound, match="collapsed"):
            await on.ask(2)


async def test_old_versions_make_room_and_come_back_when_they_are_named(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path) as on:
        for version in (1, 2, 3):
            await on.publish(version, skill=version / 10)
            await on.swap(version)
        assert on.engine.versions == {0, 2, 3}
        assert await on.ask(1) == 1
        assert on.engine.versions == {0, 1, 3}
        assert [await on.ask(version) for version in (2, 1, 3, 2, 1, 0)] == [2, 1, 3, 2, 1, 0]
        assert on.serving.newest == 3


async def test_many_requests_on_more_versions_than_there_are_slots_are_all_answered(
    join: Joiner, short_path: Path
) -> None:
    async with stage(join, short_path, latency=0.001) as on:
        for version in (1, 2, 3):
            await on.publish(version, skill=version / 10)
        await on.swap(3)
        said: list[tuple[int, int]] = []

        async def one(version: int) -> None:
            said.append((version, await on.ask(version)))

        async with anyio.create_task_group() as tasks:
            for at in range(60):
                tasks.start_soon(one, at // 10 % 4)
        assert len(said) == 60
        assert all(asked == answered for asked, answered in said)


async def test_after_a_restart_the_newest_good_version_serves_and_is_not_announced_twice(
    join: Joiner, short_path: Path
) -> None:
    async with stage(join, short_path) as on:
        for version, mute in ((1, False), (2, False), (3, True)):
            await on.publish(version, mute=mute)
            await on.swap(version)
    (short_path / "again").mkdir()
    async with stage(join, short_path) as on:
        assert on.serving.newest == 2
        assert on.engine.versions == {0, 2}
        async with on.trainer.subscribe("swaps", start="start") as stream:
            assert [d.id async for d in stream.past()] == [f"actor-0/actor@{version}" for version in (1, 2, 3)]


async def test_a_dead_engine_ends_the_service_so_that_it_is_started_again(join: Joiner, short_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with stage(join, short_path) as on:
            await on.engine.close()
            await on.ask(0)
    assert caught.group_contains(EngineDead)


async def test_pictures_are_fetched_once(join: Joiner, short_path: Path) -> None:
    async with stage(join, short_path) as on:
        name = await on.trainer.put_blob(b"a picture")
        assert await on.serving.frame(name) == b"a picture"
        (short_path / "run" / "blobs" / name[:2] / name).unlink()
        assert await on.serving.frame(name) == b"a picture"
        with pytest.raises(NotFound):
            await on.serving.frame(digest(b"nobody's"))
