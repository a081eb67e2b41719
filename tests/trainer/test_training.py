"""One training from rows to a published adapter: promoted, refused, failed, and what is left behind."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from protocols.codec import adapter_digest, digest
from protocols.messages import Adapter, Fault
from runtime.mesh import Mesh
from runtime.runfolder import RunFolder
from runtime.service import Service
from services.settings import Settings
from services.trainer.dataset import Example, dataset_bytes
from services.trainer.learner import Trained
from services.trainer.scripted import ScriptedLearner
from services.trainer.state import Train
from services.trainer.training import Training
from tests.conftest import Joiner

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hub")]

FRAME = b"a frame"


def example(index: int) -> Example:
    return Example(
        frame=digest(FRAME), prompt=f"{index}?", answer="yes" if index % 2 else "no", trajectory=f"r1-{index:05d}",
        round=1, source="verdict", instruction="open the fridge", verb="open", actor_version=0, critic_version=0,
    )  # fmt: skip


def work(rows: int = 20, version: int = 1, parent: Adapter | None = None) -> Train:
    return Train(role="critic", version=version, parent=parent, rows=tuple(map(example, range(rows))), seed=7)


@asynccontextmanager
async def training(join: Joiner, folder: Path, learner: Any = None) -> AsyncGenerator[tuple[Training, Mesh, RunFolder]]:
    run = RunFolder.create(folder / "run")
    with anyio.fail_after(10):
        async with join("trainer", run=run) as mesh:
            await mesh.put_blob(FRAME)
            service = Service(role="trainer", instance="trainer-0", mesh=mesh, run=run, settings=Settings())
            yield Training(service, learner or ScriptedLearner()), mesh, run


async def said(mesh: Mesh, topic: str) -> list[Any]:
    async with mesh.subscribe(topic, start="start") as stream:
        return [delivery.message async for delivery in stream.past()]


async def test_an_adapter_is_published_with_its_files_its_rows_and_its_parent(join: Joiner, short_path: Path) -> None:
    async with training(join, short_path) as (trainer, mesh, run):
        first = await trainer.run(work())
        assert first.promoted
        assert first.parent == 0
        assert first.digest == adapter_digest(first.files)
        assert await mesh.get_blob(first.dataset) == dataset_bytes(work().rows)
        assert first.base_model == "scripted@1"
        assert first.balance == {"yes": 10, "no": 10, "open": 20}
        assert first.metrics["loss_last"] < first.metrics["loss_first"]
        second = await trainer.run(work(version=2, parent=first))
        assert second.parent == 1
        skills = [json.loads(await mesh.get_blob(a.files["adapter_model.json"]))["skill"] for a in (first, second)]
        assert skills[0] < skills[1]
        assert await said(mesh, "adapters") == [first, second]
        assert await said(mesh, "faults") == []
        assert not [path for path in run.adapters.iterdir() if path.name.startswith(".")]


async def test_the_same_work_gives_the_same_adapter(join: Joiner, short_path: Path) -> None:
    async with training(join, short_path) as (trainer, _, _):
        first, again = await trainer.run(work()), await trainer.run(work())
        assert msgspec.structs.replace(first, seconds=0) == msgspec.structs.replace(again, seconds=0)


async def test_too_few_rows_are_refused_without_training(join: Joiner, short_path: Path) -> None:
    async with training(join, short_path) as (trainer, mesh, _):
        refused = await trainer.run(work(3))
        assert not refused.promoted
        assert "min_rows" in (refused.reason or "")
        assert (refused.files, refused.rows) == ({}, 3)
        (fault,) = await said(mesh, "faults")
        assert isinstance(fault, Fault)
        assert fault.what == "critic@1 was not promoted"


class Spoilt(ScriptedLearner):
    """Trains, and spoils what it says about it."""

    def __init__(self, spoil: Callable[[Trained], Trained]) -> None:
        self._spoil = spoil

    def train(self, *args: Any, **named: Any) -> Trained:
        return self._spoil(super().train(*args, **named))


async def test_a_collapsed_adapter_is_kept_for_inspection_and_not_promoted(join: Joiner, short_path: Path) -> None:
    spoilt = Spoilt(lambda trained: msgspec.structs.replace(trained, probe=("yes",) * 64))
    async with training(join, short_path, spoilt) as (trainer, mesh, _):
        refused = await trainer.run(work())
        assert not refused.promoted
        assert "collapsed" in (refused.reason or "")
        assert await mesh.get_blob(refused.files["adapter_model.json"])


async def test_losses_that_are_not_finite_are_refused_and_leave_no_such_number(join: Joiner, short_path: Path) -> None:
    nan = float("nan")
    spoilt = Spoilt(lambda trained: msgspec.structs.replace(trained, losses=(1.0, nan), metrics={"norm": nan}))
    async with training(join, short_path, spoilt) as (trainer, _, _):
        refused = await trainer.run(work())
        assert "not finite" in (refused.reason or "")
        assert refused.metrics == {"loss_first": 1.0}


async def test_a_learner_that_fails_is_recorded_and_the_run_goes_on(join: Joiner, short_path: Path) -> None:
    def fail(_: Trained) -> Trained:
        raise MemoryError("no room for the gradients")

    async with training(join, short_path, Spoilt(fail)) as (trainer, mesh, run):
        refused = await trainer.run(work())
        assert refused.reason == "training failed: MemoryError: no room for the gradients"
        assert refused.files == {}
        assert len(await said(mesh, "faults")) == 1
        assert list(run.adapters.iterdir()) == []
