"""Measures the overhead of the VirtualHome world over the bare calls of the released client.

    python -m scripts.bench.virtualhome --player "COMMAND" [--runs 5] [--turns 40] [--frame 300]

Three variants walk to the same objects, each with its own player and five steps per turn: "bare" makes the calls that a
hand-written program needs (script, scene graph, picture, decoded by the client), "adapter" uses the world in this
process, and "process" the world in a process of its own, as in a run. All are measured with and without the scene graph
that the list of admissible actions needs. Prints JSON: see `paired.compare`.
"""

import argparse
import json
import sys
from contextlib import ExitStack, closing
from typing import Any

from scripts.bench.paired import Way, compare, medians, take_turns
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.load import virtualhome
from services.worlds.virtualhome.unity import FIRST_PERSON, UnitySimulation
from services.worlds.virtualhome.world import VirtualHome
from services.worlds.world import World

STEPS = 5
EPISODE = 38
"""Turns between resets of the worlds. Must stay below their limit of steps."""


def bare(world: VirtualHome, things: list[Any], *, graph: bool, frame: int) -> Way:
    """Returns the variant that makes the released client's calls to this world's player."""
    simulation = world._simulation
    assert isinstance(simulation, UnitySimulation) and simulation._player is not None
    client = shims.client().UnityCommunication(port=str(simulation._player.port))
    camera = client.camera_count()[1] + FIRST_PERSON

    def turn() -> None:
        for thing in things:
            line = f"<char0> [walk] <{thing.written}> ({thing.id})"
            client.render_script([line], recording=False, skip_animation=True, image_synthesis=[])
            if graph:
                client.environment_graph()
            client.camera_image([camera], image_width=frame, image_height=frame)

    return turn


def adapted(world: World, things: list[Any]) -> Way:
    def turn() -> None:
        for thing in things:
            world.step(f"find {thing.class_name}")

    return turn


def measure(player: str, turns: int, frame: int, *, admissible: bool) -> dict[str, Any]:
    """Measures one run with new players."""
    options = {"mode": "unity", "player": player, "frame": frame, "admissible": admissible, "max_steps": 200}
    with ExitStack() as stack:
        own = stack.enter_context(closing(VirtualHome(**options)))
        inside = stack.enter_context(closing(VirtualHome(**options)))
        outside = stack.enter_context(closing(virtualhome(**options)))

        def begin() -> dict[str, Way]:
            for world in (own, inside, outside):
                world.reset(None, 0)
            things = own._simulation.graph().things
            some = [thing for thing in things if thing.can("SURFACES", "CAN_OPEN")][:STEPS]
            assert len(some) == STEPS
            return {
                "bare": bare(own, some, graph=admissible, frame=frame),
                "adapter": adapted(inside, some),
                "process": adapted(outside, some),
            }

        return compare(take_turns(begin, turns=turns, again=EPISODE), base="bare", steps=STEPS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--player", required=True, help="the command that starts the player")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--frame", type=int, default=300, help="pixels along a frame's side")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for name, admissible in (("script, graph, picture", True), ("script, picture", False)):
        runs = [measure(given.player, given.turns, given.frame, admissible=admissible) for _ in range(given.runs)]
        found[name] = {"medians": medians(runs), "runs": runs}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
