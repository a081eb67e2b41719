"""What the VirtualHome world costs over the released client's bare calls to the same player.

    python -m scripts.bench.virtualhome --player COMMAND [--steps 200] [--frame 300]

Each step is taken twice, by the world and by the calls that a program of one's own would make for the same (script,
scene graph, picture, decoded by the client), in turns, on one player. Prints JSON; times in milliseconds, medians over
steps; ``overhead`` is the median of the steps' own differences over the median bare step, ``ci95`` by bootstrap.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from services.worlds.virtualhome import shims
from services.worlds.virtualhome.unity import FIRST_PERSON, UnitySimulation
from services.worlds.virtualhome.world import VirtualHome

SAMPLES = 1000


class Figures(msgspec.Struct, kw_only=True):
    """``calls`` are what each step asks of the player; CPU is this process's own, without the player's."""

    calls: str
    bare_ms: float
    world_ms: float
    overhead: float
    ci95: tuple[float, float]
    bare_cpu_ms: float
    world_cpu_ms: float
    steps: int
    frame: int
    objects: int


def measure(player: str, steps: int, frame: int, *, admissible: bool) -> Figures:
    world = VirtualHome(mode="unity", player=player, frame=frame, admissible=admissible, max_steps=200)
    try:
        world.reset(None, 0)
        simulation = world._simulation
        assert isinstance(simulation, UnitySimulation) and simulation._player is not None
        bare = shims.client().UnityCommunication(port=str(simulation._player.port))
        names = [node for node in simulation.graph().things if node.can("SURFACES", "CAN_OPEN")]
        camera = bare.camera_count()[1] + FIRST_PERSON

        def by_world(node: Any) -> None:
            _, _, truncated = world.step(f"find {node.class_name}")
            if truncated:
                world.reset(None, 0)

        def by_hand(node: Any) -> None:
            line = f"<char0> [walk] <{node.class_name}> ({node.id})"
            bare.render_script([line], recording=False, skip_animation=True, image_synthesis=[])
            if admissible:
                bare.environment_graph()
            bare.camera_image([camera], image_width=frame, image_height=frame)

        for node in names[:5]:
            by_world(node)
            by_hand(node)
        world.reset(None, 0)
        pairs = [_pair(by_hand, by_world, names[i % len(names)], swap=i % 2 == 1) for i in range(min(steps, 199))]
        objects = len(simulation.graph().nodes)
    finally:
        world.close()
    bare_wall, world_wall, bare_cpu, world_cpu = (list(times) for times in zip(*pairs, strict=True))
    base = statistics.median(bare_wall)
    more = [(w - b) / base for b, w in zip(bare_wall, world_wall, strict=True)]
    luck = random.Random(0)
    samples = sorted(statistics.median(luck.choices(more, k=len(more))) for _ in range(SAMPLES))
    return Figures(
        calls="script, graph, picture" if admissible else "script, picture",
        bare_ms=round(1e3 * base, 2), world_ms=round(1e3 * statistics.median(world_wall), 2),
        overhead=round(statistics.median(more), 4),
        ci95=(round(samples[SAMPLES // 40], 4), round(samples[-SAMPLES // 40], 4)),
        bare_cpu_ms=round(1e3 * statistics.median(bare_cpu), 2),
        world_cpu_ms=round(1e3 * statistics.median(world_cpu), 2), steps=len(pairs), frame=frame, objects=objects,
    )  # fmt: skip


def _pair(
    by_hand: Callable[[Any], None], by_world: Callable[[Any], None], node: Any, *, swap: bool
) -> tuple[float, float, float, float]:
    times: dict[str, tuple[float, float]] = {}
    todo = [("bare", by_hand), ("world", by_world)]
    for name, work in reversed(todo) if swap else todo:
        wall, cpu = time.perf_counter(), time.process_time()
        work(node)
        times[name] = time.perf_counter() - wall, time.process_time() - cpu
    (bare, bare_cpu), (world, world_cpu) = times["bare"], times["world"]
    return bare, world, bare_cpu, world_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--player", required=True, help="the command that starts the player")
    parser.add_argument("--steps", type=int, default=199)
    parser.add_argument("--frame", type=int, default=300)
    given = parser.parse_args()
    found = [measure(given.player, given.steps, given.frame, admissible=admissible) for admissible in (True, False)]
    sys.stdout.write(json.dumps(msgspec.to_builtins(found), indent=2) + "\n")


if __name__ == "__main__":
    main()
