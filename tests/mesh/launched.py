"""A small run as a user starts it, for tests to watch and hurt."""

import json
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from protocols.codec import unseal
from scripts.soaking.checker import records
from scripts.soaking.launched import Launched, launch, observer
from services.models.folder import MICRO

__all__ = ["MICRO_LEARNS", "SMALL", "Launched", "held", "launched", "observer", "producers", "seen"]

SMALL = (
    "simulator.quota=12",
    "simulator.episodes=4",
    "evaluator.tasks=4",
    "evaluator.judgements=6",
    "trainer.min_rows=1",
    "mesh.session_seconds=2",
)


MICRO_LEARNS = (
    f"model.path={json.dumps(str(MICRO))}",
    'model.engine="transformers"',
    'model.device="cpu"',
    "model.threads=1",
    "trainer.threads=1",
    "trainer.collapse=1.0",
    "alarms.few_rows=0",
    "simulator.episodes=2",
    "simulator.max_steps=4",
    "evaluator.tasks=2",
    "evaluator.judgements=2",
    "evaluator.episodes=1",
)
"""A profile for a GPU, with the micro model on one core of a CPU and without vLLM."""


@asynccontextmanager
async def launched(
    folder: Path, *overrides: str, profile: str = "scripted", environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Launched]:
    """Starts ``selu up`` with small settings; what it says is in launcher.txt beside the folder."""
    settings = [option for override in (*SMALL, *overrides) for option in ("--set", override)]
    output = folder.parent / "launcher.txt"
    async with launch(
        folder, "--profile", profile, "--run", str(folder), *settings, output=output, environ=environ
    ) as run:
        yield run


@asynccontextmanager
async def held(run: Launched) -> AsyncGenerator[None]:
    """Nobody plays while the block runs, so that the run is not over before others have joined it."""
    while True:
        if run.kill("simulator-0", signal.SIGSTOP):
            break
        await anyio.sleep(0.02)
    try:
        yield
    finally:
        run.kill("simulator-0", signal.SIGCONT)


def producers(run: Launched, topic: str) -> dict[str, str]:
    """Which instance said each message of a topic, by the message's id."""
    return {record.id: unseal(record.envelope).producer for record in records(run.run) if record.topic == topic}


async def seen(run: Launched, topic: str, count: int, *, by: str = "") -> None:
    """Waits until a topic has so many messages, all of them or an instance's."""
    async with observer(run) as mesh, mesh.subscribe(topic, start="start") as stream:
        left = count
        async for delivery in stream:
            left -= by in ("", delivery.producer)
            if not left:
                return
