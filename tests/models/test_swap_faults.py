"""Swaps that fail halfway, engines that die with requests in flight, torn adapters: the last good version serves."""

import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from protocols.codec import adapter_digest, digest
from protocols.errors import NotFound
from protocols.messages import Adapter, Swap
from runtime.blobs import BlobStore
from runtime.mesh import Mesh
from runtime.runfolder import RunFolder
from runtime.service import Service
from runtime.sockets import background
from services.models import openai_engine
from services.models.adapter_check import check_adapter
from services.models.adapters import store
from services.models.engine import AdapterRefused, EngineDead, Request
from services.models.load import load_engine
from services.models.serving import Serving
from services.settings import Model, Settings
from tests.conftest import Joiner
from tests.models.tiny import build_adapter, picture
from tests.standins.openai_server import OpenAIStandIn, serve_openai

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hub")]
SECONDS = 20
CUTS = 20
SHAPES = {f"model.text_model.layers.0.self_attn.{name}.weight": (8, 8) for name in ("q_proj", "v_proj")}


@pytest.fixture
def server() -> Generator[OpenAIStandIn]:
    with serve_openai() as stand_in:
        yield stand_in


class Stage:
    """An engine on the mesh whose server fails on demand, and the trainer that publishes adapters for it."""

    def __init__(self, serving: Serving, trainer: Mesh, run: RunFolder) -> None:
        self.serving = serving
        self.trainer = trainer
        self.run = run

    async def publish(self, version: int) -> Adapter:
        folder = build_adapter(self.run.path.parent / f"made-{version}", SHAPES, seed=version)
        return await self.announce(version, await store(self.trainer, folder))

    async def announce(self, version: int, files: dict[str, str]) -> Adapter:
        adapter = Adapter(
            role="critic", version=version, round=version, parent=0, files=files, digest=adapter_digest(files),
            base_model="micro@remote", dataset=digest(b""), rows=9, promoted=True,
        )  # fmt: skip
        await self.trainer.publish("adapters", adapter, id=f"critic@{version}")
        return adapter

    async def swap(self, version: int) -> Swap:
        async with self.trainer.subscribe("swaps", start="start") as stream:
            async for delivery in stream:
                if isinstance(delivery.message, Swap) and delivery.message.version == version:
                    return delivery.message
        raise AssertionError

    async def ask(self, version: int) -> int:
        image = picture(1)
        request = Request(prompt="?", image=image, image_id=digest(image), version=version)
        return (await self.serving.answer([request]))[0].version


@asynccontextmanager
async def stage(join: Joiner, folder: Path, server: OpenAIStandIn) -> AsyncGenerator[Stage]:
    run = RunFolder.open(folder / "run") if (folder / "run").exists() else RunFolder.create(folder / "run")
    with anyio.fail_after(SECONDS):
        async with join("critic", run=run) as mesh, join("trainer", run=run) as trainer, background() as tasks:
            engine = await load_engine(Model(engine="openai", url=server.url), role="critic", max_versions=2)
            service = Service(role="critic", instance="critic-0", mesh=mesh, run=run, settings=Settings())
            serving = Serving(service, engine, "critic", capacity=2)
            await tasks.start(serving.follow)
            yield Stage(serving, trainer, run)


async def test_a_swap_that_meets_server_errors_is_tried_again_and_succeeds(
    server: OpenAIStandIn, join: Joiner, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.0)
    async with stage(join, short_path, server) as on:
        server.load_failures = [500, 503]
        await on.publish(1)
        assert (await on.swap(1)).served
        assert await on.ask(1) == 1


async def test_a_swap_that_only_meets_server_errors_leaves_the_last_good_version_and_the_next_one_serves(
    server: OpenAIStandIn, join: Joiner, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.0)
    async with stage(join, short_path, server) as on:
        await on.publish(1)
        await on.swap(1)
        server.load_failures = [500] * openai_engine.TRIES
        await on.publish(2)
        swap = await on.swap(2)
        assert not swap.served and "HTTP 500" in (swap.reason or "")
        assert await on.serving.ready(None) == await on.ask(1) == 1
        with pytest.raises(NotFound, match="critic@2 is not served"):
            await on.ask(2)
        await on.publish(3)
        assert (await on.swap(3)).served
        assert await on.ask(3) == await on.serving.ready(None) == 3


async def test_a_swap_that_hangs_is_given_up_while_requests_are_answered(
    server: OpenAIStandIn, join: Joiner, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "LOAD_SECONDS", 0.5)
    async with stage(join, short_path, server) as on:
        await on.publish(1)
        await on.swap(1)
        server.load_hang.set()
        await on.publish(2)
        answered = [await on.ask(1) for _ in range(5)]
        swap = await on.swap(2)
        assert answered == [1] * 5
        assert not swap.served and "no answer" in (swap.reason or "")
        server.load_hang.clear()
        server.released.set()  # the server gets to it after all, too late
        await on.publish(3)
        assert (await on.swap(3)).served
        assert on.serving.newest == 3


async def test_a_server_that_dies_with_requests_in_flight_ends_the_service_and_the_next_life_answers_them(
    server: OpenAIStandIn, join: Joiner, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.01)
    with pytest.raises(ExceptionGroup) as caught:
        async with stage(join, short_path, server) as on, anyio.create_task_group() as asking:
            await on.publish(1)
            await on.swap(1)
            server.hang.set()
            asked = server.asked
            for _ in range(4):
                asking.start_soon(on.ask, 1)
            while server.asked < asked + 4:
                await anyio.lowlevel.checkpoint()
            server.dead.set()
            server.released.set()
    assert caught.group_contains(EngineDead)
    server.revive()
    async with stage(join, short_path, server) as on:
        assert on.serving.newest == 1
        assert [await on.ask(1) for _ in range(4)] == [1] * 4


async def test_a_server_that_is_just_starting_is_waited_for(server: OpenAIStandIn) -> None:
    server.dead.set()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                engine = await load_engine(Model(engine="openai", url=server.url), role="critic", max_versions=2)
                assert (await engine.canary()).version == 0

            tasks.start_soon(start)
            await anyio.sleep(0.2)
            server.revive()


def lie_torn(blobs: BlobStore, folder: Path, name: str, cut: int) -> dict[str, str]:
    """Stores an adapter's files, one of them cut off; returns the digests of the whole ones."""
    files = {file.name: blobs.put(file.read_bytes()) for file in folder.iterdir()}
    torn = blobs.path(files[name])
    torn.write_bytes(torn.read_bytes()[:cut])
    return files


def cuts(size: int) -> list[int]:
    """Where a file of this size is cut: everywhere, about, and at its very ends."""
    return sorted({0, 1, 8, size - 1, *(size * step // (CUTS - 4) for step in range(1, CUTS - 4))})


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
async def test_an_adapter_cut_off_anywhere_is_never_served(
    name: str, server: OpenAIStandIn, join: Joiner, short_path: Path
) -> None:
    async with stage(join, short_path, server) as on:
        await on.publish(1)
        await on.swap(1)
        size = (short_path / "made-1" / name).stat().st_size
        blobs = BlobStore(on.run.blobs)
        loaded = dict(server.adapters)
        for version, cut in enumerate(cuts(size), 2):
            folder = build_adapter(short_path / f"made-{version}", SHAPES, seed=version)
            files = lie_torn(blobs, folder, name, cut)
            await on.announce(version, files)
            swap = await on.swap(version)
            assert not swap.served and "does not match its digest" in (swap.reason or ""), (cut, swap)
        assert server.adapters == loaded and await on.ask(1) == await on.serving.ready(None) == 1
        assert len(cuts(size)) >= CUTS - 1


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_adapter_files_cut_off_anywhere_are_refused_before_an_engine_sees_them(name: str, tmp_path: Path) -> None:
    folder = build_adapter(tmp_path / "made", SHAPES, seed=1)
    whole = (folder / name).read_bytes()
    check_adapter(folder, max_rank=8, base=SHAPES)
    for cut in cuts(len(whole)):
        (folder / name).write_bytes(whole[:cut])
        with pytest.raises(AdapterRefused, match=name):
            check_adapter(folder, max_rank=8, base=SHAPES)
    for at in range(CUTS):  # bytes of the header turned around
        spoilt = bytearray(whole)
        spoilt[at * 11] ^= 0xFF
        (folder / name).write_bytes(bytes(spoilt))
        with pytest.raises(AdapterRefused):
            check_adapter(folder, max_rank=8, base=SHAPES)


async def test_an_adapter_whose_folder_was_deleted_while_in_use_is_made_again_when_it_is_named(
    server: OpenAIStandIn, join: Joiner, short_path: Path
) -> None:
    async with stage(join, short_path, server) as on:
        for version in (1, 2):
            await on.publish(version)
            await on.swap(version)
        shutil.rmtree(on.run.adapters)
        on.run.adapters.mkdir()
        await on.publish(3)  # 1 makes room for it
        await on.swap(3)
        assert [await on.ask(version) for version in (1, 2, 3, 1)] == [1, 2, 3, 1]
