"""What the adapter to AI2-THOR adds to the bare client's steps, with a third-party camera in the scene.

    python -m scripts.bench.ai2thor --executable "COMMAND" [--runs 5] [--turns 60] [--size 300]

COMMAND is a player, e.g. a checkout's stand-in. Three ways open and close the same object, each with a player of its
own: "bare" by the client's Controller, "adapter" by the world in this process, "process" by the same world as users
get it, in a process of its own. They take turns of ten steps, in another order each time, so that all see the same
machine. Prints milliseconds a step (medians over turns), what is added in percent (the median of the turns' own
differences to "bare", over its median), for each run and as medians over the runs, as JSON.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from protocols.messages import Task
from services.worlds.ai2thor.names import words
from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.world import World

TASK = Task(id="open:fridge", instruction="open the fridge", verb="open", object="fridge")
STEPS = 10
"""Steps of a turn: enough for a player to be warm again after the others' turns."""
EPISODE = 18
"""Turns before the worlds are reset, below their limit of steps."""
ACTS = ("open fridge", "close fridge")

Way = Callable[[], None]


def bare(simulator: Simulator) -> Way:
    """Steps of the simulator's own controller, without anything around it."""
    controller: Any = simulator.player.controller
    fridge = next(one["objectId"] for one in simulator.player.things if words(one["objectType"]) == "fridge")

    def turn() -> None:
        for i in range(STEPS):
            event = controller.step(action=("OpenObject", "CloseObject")[i % 2], objectId=fridge)
            assert event.metadata["lastActionSuccess"]

    return turn


def adapted(world: World) -> Way:
    def turn() -> None:
        for i in range(STEPS):
            seen, _, _ = world.step(ACTS[i % 2])
            assert seen.error is None, seen.error

    return turn


def before(world: World) -> None:
    """An episode with the agent before the fridge and a camera in the scene."""
    world.reset(TASK, 0)
    seen, _, _ = world.step("find fridge")
    assert seen.error is None, seen.error
    world.third_person()


def measure(options: dict[str, Any], turns: int) -> dict[str, float]:
    """One run: milliseconds a step by way, and what each adds to the bare client, in percent."""
    with ExitStack() as closing:

        def started(world: Any) -> Any:
            closing.callback(world.close)
            return world

        own, inside, outside = (started(make(**options)) for make in (Simulator, Simulator, ai2thor))
        took: dict[str, list[float]] = {"bare": [], "adapter": [], "process": []}
        ways: dict[str, Way] = {}
        order, luck = list(took), random.Random(0)
        for number in range(turns):
            if number % EPISODE == 0:
                for world in (own, inside, outside):
                    before(world)
                ways = {"bare": bare(own), "adapter": adapted(inside), "process": adapted(outside)}
            luck.shuffle(order)
            for way in order:
                begun = time.perf_counter()
                ways[way]()
                took[way].append((time.perf_counter() - begun) / STEPS * 1e3)
    base = statistics.median(took["bare"])
    found = {f"{way}_ms": statistics.median(times) for way, times in took.items()}
    for way in ("adapter", "process"):
        more = statistics.median(a - b for a, b in zip(took[way], took["bare"], strict=True))
        found[f"{way}_added_percent"] = 100 * more / base
    return {name: round(value, 3) for name, value in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executable", required=True, help="the player's command line")
    parser.add_argument("--runs", type=int, default=5, help="each with new players")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--size", type=int, default=300, help="width and height of a frame")
    given = parser.parse_args()
    options = {
        "executable": given.executable, "scenes": "1", "width": given.size, "height": given.size,
        "max_steps": 200,
    }  # fmt: skip
    runs = [measure(options, given.turns) for _ in range(given.runs)]
    medians = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    sys.stdout.write(json.dumps({"median": medians, "runs": runs}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
