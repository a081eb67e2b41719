"""What the adapter to AI2-THOR adds to the bare client: steps with and without it, taken in turns from one player.

    python -m scripts.bench.ai2thor --executable "COMMAND" [--rounds 600] [--size 300]

COMMAND is a player, e.g. a checkout's stand-in. Both sides open and close the same object at the same size with one
third-party camera. "adapter" is the world in the player's own process, "process" the same world as the mesh uses it,
in a process of its own. Prints milliseconds a step (medians) and what is added, as JSON.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from protocols.messages import Task
from services.worlds.ai2thor.names import words
from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.world import World

TASK = Task(id="open:fridge", instruction="open the fridge", verb="open", object="fridge")
EPISODE = 90
"""Rounds of two steps before the world is reset, below its limit of steps."""
ACTS = ("open fridge", "close fridge")


def bare(simulator: Simulator) -> Callable[[int], None]:
    """Steps of the simulator's own controller, with the frames taken as a user of it would."""
    controller: Any = simulator.player.controller
    fridge = next(one["objectId"] for one in simulator.player.things if words(one["objectType"]) == "fridge")

    def steps(count: int) -> None:
        for i in range(count):
            event = controller.step(action=("OpenObject", "CloseObject")[i % 2], objectId=fridge)
            assert event.metadata["lastActionSuccess"]

    return steps


def adapted(world: World) -> Callable[[int], None]:
    def steps(count: int) -> None:
        for i in range(count):
            seen, _, _ = world.step(ACTS[i % 2])
            assert seen.error is None, seen.error

    return steps


def before(world: World) -> None:
    """An episode with the agent before the fridge and a camera in the scene."""
    world.reset(TASK, 0)
    seen, _, _ = world.step("find fridge")
    assert seen.error is None, seen.error
    world.third_person()


def measure(options: dict[str, Any], rounds: int) -> dict[str, float]:
    """Milliseconds a step, medians over rounds in which each way opens and closes once, so that all see one machine."""
    inside, outside = Simulator(**options), ai2thor(**options)
    try:
        took: dict[str, list[float]] = {"bare": [], "adapter": [], "process": []}
        ways: dict[str, Callable[[int], None]] = {}
        for turn in range(rounds):
            if turn % EPISODE == 0:
                before(inside)
                before(outside)
                ways = {"bare": bare(inside), "adapter": adapted(inside), "process": adapted(outside)}
            for way, take in ways.items():
                begun = time.perf_counter()
                take(2)
                took[way].append((time.perf_counter() - begun) / 2 * 1e3)
        found = {f"{way}_ms": statistics.median(times) for way, times in took.items()}
        for way in ("adapter", "process"):
            found[f"{way}_added_percent"] = 100 * (found[f"{way}_ms"] / found["bare_ms"] - 1)
        return {name: round(value, 3) for name, value in found.items()}
    finally:
        inside.close()
        outside.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executable", required=True, help="the player's command line")
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--size", type=int, default=300, help="width and height of a frame")
    given = parser.parse_args()
    options = {
        "executable": given.executable, "scenes": "1", "width": given.size, "height": given.size,
        "max_steps": 200,
    }  # fmt: skip
    found = measure(options, given.rounds)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
