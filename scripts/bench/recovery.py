"""Measures recovery times: of a killed service until it is ready again, and of the hub, killed under load, until it
acknowledges again.

    python -m scripts.bench.recovery [--runs 5] [--rate 1000]

Each run is a `selu up` with scripted models that does not end by itself. Every service is killed once (SIGKILL) and has
recovered when its new process reports that it is ready. Then the hub is killed while `rate` messages per second are
published in addition to the run's own. It has recovered when it acknowledges a message that was sent after its death.
Prints JSON, in seconds.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import anyio

from protocols.messages import Fault, Health
from runtime.keys import read_key
from runtime.mesh import Mesh, connect
from runtime.sockets import background
from scripts.soaking.launched import Launched, launch, observer
from scripts.soaking.rounds import SERVICES

WAIT_SECONDS = 60.0
"""Time limit of each wait of the benchmark."""
PUBLISHERS = 32
TEXT = "y" * 300
SETTLE_SECONDS = 2.0
"""Duration of the load before the hub is killed."""


async def ready(mesh: Mesh, pids: dict[str, int]) -> dict[str, int]:
    """Waits until each service is ready in another process than in `pids`; returns their process ids."""
    left = set(SERVICES) if not pids else set(pids)
    found: dict[str, int] = {}
    async with mesh.listen("health") as stream:
        async for delivery in stream:
            health = delivery.message
            if not isinstance(health, Health) or not health.ready or health.instance not in left:
                continue
            if pids.get(health.instance) != health.pid:
                found[health.instance] = health.pid
                left.discard(health.instance)
            if not left:
                return found
    raise AssertionError("listening has no end")


async def killed(mesh: Mesh, run: Launched, instance: str, pid: int) -> float:
    """Kills a service; returns the seconds until it is ready again."""
    begun = 0.0
    async with anyio.create_task_group() as tasks:

        async def kill() -> None:
            nonlocal begun
            begun = time.monotonic()
            run.kill(instance)

        tasks.start_soon(kill)
        await ready(mesh, {instance: pid})
    return time.monotonic() - begun


async def hub_killed(mesh: Mesh, run: Launched, rate: int) -> tuple[float, float]:
    """Kills the hub under load; returns the messages per second before, and the seconds until it acknowledges a message
    that was sent after its death."""
    said = 0
    died = 0.0
    again = anyio.Event()

    async def publish(number: int) -> None:
        nonlocal said
        due = time.monotonic()
        while True:
            due += PUBLISHERS / rate
            await anyio.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            await mesh.publish("faults", Fault(service=mesh.instance, what=str(number), why=TEXT))
            said += 1
            if died and sent > died:
                again.set()

    async with background() as tasks:
        for number in range(PUBLISHERS):
            tasks.start_soon(publish, number)
        await anyio.sleep(SETTLE_SECONDS)
        before = said / SETTLE_SECONDS
        died = time.monotonic()
        run.kill("hub")
        await again.wait()
        return before, time.monotonic() - died


async def measure(folder: Path, rate: int) -> dict[str, float]:
    settings = ("simulator.quota=10000", "simulator.episodes=4", "evaluator.tasks=4", "evaluator.judgements=6")
    options = ("--profile", "scripted", "--run", str(folder), *(o for s in settings for o in ("--set", s)))
    seconds: dict[str, float] = {}
    async with launch(folder, *options, output=folder.with_suffix(".txt")) as run:
        with anyio.fail_after(WAIT_SECONDS):
            async with observer(run) as mesh:
                pids = await ready(mesh, {})
                for service in SERVICES:
                    seconds[service.removesuffix("-0")] = await killed(mesh, run, service, pids[service])
            key = read_key(run.run.keys.make("bench", "launcher"))
            async with connect(run.run.endpoint, role=key.role, instance=key.name, key=key) as mesh:
                seconds["messages a second"], seconds["hub"] = await hub_killed(mesh, run, rate)
    return seconds


async def bench(runs: int, rate: int) -> dict[str, object]:
    load = os.getloadavg()[0]
    figures: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="selu-bench-") as folder:
        for run in range(runs):
            for name, value in (await measure(Path(folder) / str(run), rate)).items():
                figures[name].append(value)
    return {
        "runs": runs,
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        **{
            name: {"median": round(statistics.median(values), 2), "worst": round(max(values), 2)}
            for name, values in figures.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=1000)
    given = parser.parse_args()
    json.dump(anyio.run(bench, given.runs, given.rate), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
