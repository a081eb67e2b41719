"""Measures the overhead of the AI2-THOR world over the bare client, with a third-party camera in the scene.

    python -m scripts.bench.ai2thor --executable "COMMAND" [--runs 5] [--turns 60] [--size 300]

COMMAND starts a player, for example a checkout's stand-in. Three variants open and close the same object, each with its
own player and ten steps per turn: "bare" uses the client's Controller, "adapter" the world in this process, and
"process" the world in a process of its own, as in a run. Prints JSON: see `paired.compare`.
"""

import argparse
import json
import sys
from contextlib import ExitStack, closing
from typing import Any

from protocols.messages import Task
from scripts.bench.paired import Way, compare, medians, take_turns
from services.worlds.ai2thor.names import words
from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.world import World

TASK = Task(id="open:fridge", instruction="open the fridge", verb="open", object="fridge")
STEPS = 10
"""Steps per turn: enough to warm up a player again after the turns of the others."""
EPISODE = 18
"""Turns between resets of the worlds. Must stay below their limit of steps."""
ACTS = ("open fridge", "close fridge")


def bare(simulator: Simulator) -> Way:
    """Returns the variant that calls the simulator's own controller."""
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
    """Starts an episode with the agent in front of the fridge and a camera in the scene."""
    world.reset(TASK, 0)
    seen, _, _ = world.step("find fridge")
    assert seen.error is None, seen.error
    world.third_person()


def measure(options: dict[str, Any], turns: int) -> dict[str, Any]:
    """Measures one run with new players."""
    with ExitStack() as stack:
        own = stack.enter_context(closing(Simulator(**options)))
        inside = stack.enter_context(closing(Simulator(**options)))
        outside = stack.enter_context(closing(ai2thor(**options)))

        def begin() -> dict[str, Way]:
            for world in (own, inside, outside):
                before(world)
            return {"bare": bare(own), "adapter": adapted(inside), "process": adapted(outside)}

        return compare(take_turns(begin, turns=turns, again=EPISODE), base="bare", steps=STEPS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executable", required=True, help="the player's command line")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--size", type=int, default=300, help="width and height of a frame")
    given = parser.parse_args()
    options = {
        "executable": given.executable, "scenes": "1", "width": given.size, "height": given.size,
        "max_steps": 200,
    }  # fmt: skip
    runs = [measure(options, given.turns) for _ in range(given.runs)]
    sys.stdout.write(json.dumps({"medians": medians(runs), "runs": runs}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
