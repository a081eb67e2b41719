"""One training, from rows to a published adapter or a refusal: the I/O between `TrainerState` and the learner."""

import math
import shutil
from collections import Counter
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread

from protocols.codec import adapter_digest
from protocols.messages import Adapter, Digest
from runtime import crash
from runtime.service import Service
from runtime.sockets import background
from runtime.storage import is_full, when_there_is_room
from services.critic.prompts import NO, YES
from services.models.adapters import materialise, store
from services.settings import Lora, Settings
from services.trainer import gate
from services.trainer.dataset import dataset_bytes
from services.trainer.learner import Learner, Trained
from services.trainer.state import Train

PROGRESS_SECONDS = 0.5
"""Interval of a training's progress reports."""


class LearnerFailed(Exception):
    """The learner failed on these rows. The run continues without this adapter, whatever the cause."""


class Training:
    """Runs one training at a time in a worker thread, which leaves the event loop free for heartbeats."""

    def __init__(self, service: Service, learner: Learner) -> None:
        self._service = service
        self._settings: Settings = service.settings
        self._learner = learner

    async def run(self, work: Train) -> Adapter:
        """Trains and publishes the adapter. A failed or refused training is published too; the run then continues with
        the version that serves."""
        begun = anyio.current_time()
        mesh, settings = self._service.mesh, self._settings.trainer
        trained, files = None, dict[str, Digest]()
        reason = gate.too_few(work.rows, settings)
        if reason is None:
            scratch = self._service.run.adapters / f".training-{work.id}"
            try:
                crash.at("train.before")
                trained = await self._train(work, scratch)
                crash.at("train.after")
                reason = gate.refusal(trained, work.rows, settings)
                files = await store(mesh, trained.folder)
            except LearnerFailed as error:
                reason = str(error)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        dataset = await mesh.put_blob(dataset_bytes(work.rows))
        adapter = Adapter(
            role=work.role, version=work.version, round=work.version, parent=work.parent.version if work.parent else 0,
            files=files, digest=adapter_digest(files), base_model=self._learner.base_model, dataset=dataset,
            rows=len(work.rows), balance=_balance(work), promoted=reason is None, reason=reason,
            metrics=_metrics(trained), seconds=anyio.current_time() - begun,
        )  # fmt: skip
        if reason is not None:
            await self._service.fault(
                f"{work.id} was not promoted", reason, f"the previous {work.role} goes on", id=f"{work.id}/refused"
            )
        await mesh.publish("adapters", adapter, id=work.id)
        self._service.log.info("%s: %d rows, %.1f s, %s", work.id, adapter.rows, adapter.seconds, reason or "promoted")
        return adapter

    async def _train(self, work: Train, scratch: Path) -> Trained:
        mesh, adapters = self._service.mesh, self._service.run.adapters
        parent = await materialise(mesh, work.parent, adapters) if work.parent else None
        lora: Lora = self._settings.trainer.actor if work.role == "actor" else self._settings.trainer.critic
        done, total = 0, 0

        def progress(now: int, of: int) -> None:
            nonlocal done, total
            done, total = now, of

        async def say() -> None:
            while True:
                await anyio.sleep(PROGRESS_SECONDS)
                await self._service.progress(f"training {work.id}", done, total)

        def train() -> Trained:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            try:
                return self._learner.train(
                    work.role, work.rows, images=lambda digest: anyio.from_thread.run(mesh.get_blob, digest),
                    parent=parent, lora=lora, seed=work.seed, out=scratch, progress=progress,
                )  # fmt: skip
            except Exception as error:
                if is_full(error):
                    raise
                self._service.log.exception("training %s failed", work.id)
                raise LearnerFailed(f"training failed: {type(error).__name__}: {error}") from error

        async with background() as tasks:
            tasks.start_soon(say)
            trained = await when_there_is_room(lambda: anyio.to_thread.run_sync(train, abandon_on_cancel=True))
        await self._service.progress(f"training {work.id}", total, total)
        return trained


def _balance(work: Train) -> dict[str, int]:
    """The number of rows by verb and, for yes/no rows, by answer."""
    answers = Counter(row.answer for row in work.rows if row.answer in (YES, NO))
    return {**answers, **Counter(row.verb for row in work.rows)}


def _metrics(trained: Trained | None) -> dict[str, float]:
    """The learner's metrics with the first and last loss, without values that are not finite."""
    if trained is None:
        return {}
    losses = {"loss_first": trained.losses[0], "loss_last": trained.losses[-1]} if trained.losses else {}
    return {name: value for name, value in {**trained.metrics, **losses}.items() if math.isfinite(value)}
