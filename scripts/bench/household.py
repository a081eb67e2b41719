"""Measures the household world: pairs of frames (first and third person) per second on one core, with resets.

    python -m scripts.bench.household [--episodes 200] [--frame 128] [--domain unknown] [--repeats 5]

Plays demonstrated episodes as the simulator does: a reset and then steps, with both views at each. Prints JSON.
``pairs_per_cpu_second`` counts this process's CPU time, which other load on the machine hardly affects.
"""

import argparse
import json
import statistics
import sys
import time

import cv2
import msgspec
import numpy as np

from services.worlds.household.actions import DONE, parse_action
from services.worlds.household.expert import expert_action
from services.worlds.household.options import Options
from services.worlds.household.state import act
from services.worlds.household.world import Household


class Figures(msgspec.Struct, kw_only=True):
    """The results. ``pairs_per_cpu_second`` is the median over repeats."""

    pairs_per_cpu_second: float
    pairs_per_second: float
    slowest_repeat: float
    reset_ms: float
    step_ms: float
    steps_per_episode: float
    pairs: int
    frame: int
    domain: str
    opencv: str
    numpy: str


def demonstration(options: Options, seed: int) -> list[str]:
    """Returns the demonstrator's actions, including "done", for the episode of a seed."""
    episode = options.draw(seed)
    state, actions = episode.state, []
    while len(actions) < options.max_steps:
        actions.append(expert_action(state, episode.rules, episode.task))
        parsed = parse_action(actions[-1])
        if actions[-1] == DONE or parsed is None:
            break
        state, _ = act(state, episode.rules, parsed)
    return actions


def measure(world: Household, episodes: dict[int, list[str]]) -> tuple[float, float, float, int]:
    """Returns CPU seconds of resets, CPU seconds of steps, total seconds, and pairs of frames."""
    resets = steps = 0.0
    pairs, began = 0, time.perf_counter()
    for seed, actions in episodes.items():
        start = time.process_time()
        world.reset(None, seed)
        world.third_person()
        middle = time.process_time()
        for action in actions:
            world.step(action)
            world.third_person()
        steps += time.process_time() - middle
        resets += middle - start
        pairs += 1 + len(actions)
    return resets, steps, time.perf_counter() - began, pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--frame", type=int, default=128)
    parser.add_argument("--domain", choices=("unknown", "source"), default="unknown")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    options = Options(domain=args.domain, frame=args.frame)
    episodes = {seed: demonstration(options, seed) for seed in range(args.episodes)}
    world = Household(domain=args.domain, frame=args.frame)
    measure(world, dict(list(episodes.items())[:10]))
    runs = [measure(world, episodes) for _ in range(args.repeats)]
    rates = [pairs / (resets + steps) for resets, steps, _, pairs in runs]
    acts = sum(len(actions) for actions in episodes.values())
    figures = Figures(
        pairs_per_cpu_second=round(statistics.median(rates), 1),
        pairs_per_second=round(statistics.median(pairs / wall for _, _, wall, pairs in runs), 1),
        slowest_repeat=round(min(rates), 1),
        reset_ms=round(1e3 * statistics.median(resets for resets, *_ in runs) / len(episodes), 2),
        step_ms=round(1e3 * statistics.median(steps for _, steps, *_ in runs) / acts, 2),
        steps_per_episode=round(acts / len(episodes), 2),
        pairs=runs[0][3],
        frame=args.frame,
        domain=args.domain,
        opencv=cv2.__version__,
        numpy=np.__version__,
    )
    sys.stdout.write(json.dumps(msgspec.to_builtins(figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
