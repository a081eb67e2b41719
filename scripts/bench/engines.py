"""Measures an engine's throughput, with and without an adapter, and the training time of an adapter.

    python -m scripts.bench.engines [--engine vllm] [--model FOLDER] [--in-flight 1,16,64] [--requests 400]

Asks an actor's question (up to 12 tokens) and a critic's question (one of two choices) once about each frame of the
household world. Prints JSON. ``cpu_ms`` is the CPU time of this process and its children, which other load on the
machine hardly affects.
"""

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil

from services.models.engine import Engine, Request
from services.models.load import load_engine
from services.settings import Lora, Model
from services.trainer.learner import Row

ROWS = 600
"""Rows for the learner, which it trains on for five epochs: about those of one role in one round of the demo."""

HISTORY = ("find apple", "find fridge", "open fridge", "pick up mug", "find knife", "put mug in fridge")


class Speed(msgspec.Struct, kw_only=True):
    """One measurement. ``cpu_ms`` is the CPU time per request of all the engine's processes, in milliseconds."""

    version: int
    question: str
    in_flight: int
    requests_per_second: float
    cpu_ms: float


def frames(count: int) -> list[bytes]:
    """Returns first-person frames of the household world, as PNG."""
    from PIL import Image

    from services.worlds.household.world import Household

    world = Household()
    out: list[bytes] = []
    for seed in range(count):
        _, seen = world.reset(None, seed)
        file = io.BytesIO()
        Image.fromarray(seen.frame).save(file, "PNG", compress_level=1)
        out.append(file.getvalue())
    return out


def row(number: int, frame: str) -> Row:
    history = ", ".join(HISTORY[: 1 + number % len(HISTORY)])
    answer = HISTORY[(1 + number) % len(HISTORY)]
    return Row(frame=frame, prompt=f"Task: pick up the apple. Done so far: {history}. Next action?", answer=answer)


def learn(model: Model, pictures: dict[str, bytes], out: Path, threads: int, count: int) -> dict[str, float]:
    """Trains an adapter on `count` rows; returns the learner's metrics."""
    from services.trainer.lora import PeftLearner

    names = list(pictures)
    rows = [row(number, names[number % len(names)]) for number in range(count)]
    trained = PeftLearner(model, threads=threads).train(
        "actor",
        rows,
        images=pictures.__getitem__,
        parent=None,
        lora=Lora(epochs=5),
        seed=0,
        out=out,
        progress=lambda done, total: None,
    )
    return trained.metrics


async def measure(engine: Engine, requests: list[Request], in_flight: int, question: str) -> Speed:
    """Measures the engine with `in_flight` concurrent requests until all are answered."""
    waiting = iter(requests)
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]

    def cpu() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    async def ask() -> None:
        for request in waiting:
            await engine.generate([request])

    started, used = time.monotonic(), cpu()
    async with anyio.create_task_group() as tasks:
        for _ in range(in_flight):
            tasks.start_soon(ask)
    seconds = time.monotonic() - started
    return Speed(
        version=requests[0].version,
        question=question,
        in_flight=in_flight,
        requests_per_second=round(len(requests) / seconds, 1),
        cpu_ms=round((cpu() - used) / len(requests) * 1000, 1),
    )


async def run(model: Model, flights: list[int], count: int, threads: int, rows: int) -> dict[str, Any]:
    shown = frames(count)
    pictures = {hashlib.sha256(image).hexdigest(): image for image in shown}
    speeds: list[Speed] = []
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter"
        learner = await anyio.to_thread.run_sync(learn, model, pictures, adapter, threads, rows)
        started = time.monotonic()
        engine = await load_engine(model, role="actor", max_versions=2)
        start_seconds = time.monotonic() - started
        try:
            await engine.load(1, adapter)
            serial = 0
            for version in (0, 1):
                for question in ("act", "judge"):
                    for in_flight in flights:
                        serial += 1
                        choices = ("yes", "no") if question == "judge" else ()
                        requests = [
                            Request(
                                prompt=row(number, "").prompt,
                                image=image,
                                image_id=hashlib.sha256(f"{serial}-{number}".encode()).hexdigest(),
                                version=version,
                                choices=choices,
                            )
                            for number, image in enumerate(shown[: max(20, count * min(in_flight, 16) // 16)])
                        ]
                        speeds.append(await measure(engine, requests, in_flight, question))
        finally:
            await engine.close()
    return {
        "engine": msgspec.to_builtins(engine.identity),
        "start_seconds": round(start_seconds, 1),
        "speeds": msgspec.to_builtins(speeds),
        "learner": {key: round(value, 2) for key, value in learner.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto", choices=["auto", "vllm", "transformers"])
    parser.add_argument("--model", default="")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--in-flight", default="1,16,64")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=ROWS)
    chosen = parser.parse_args()
    model = Model(engine=chosen.engine, path=chosen.model, device=chosen.device, threads=chosen.threads)
    flights = [int(one) for one in chosen.in_flight.split(",")]
    result = anyio.run(run, model, flights, chosen.requests, chosen.threads, chosen.rows)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
