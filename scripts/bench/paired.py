"""Paired comparison of variants of the same work, run alternately on one machine: the overhead over a base variant."""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Way = Callable[[], None]

SAMPLES = 1000


def take_turns(
    begin: Callable[[], Mapping[str, Way]], *, turns: int, again: int, seed: int = 0
) -> dict[str, list[float]]:
    """Returns the seconds of each turn by variant. ``begin`` prepares the variants, untimed, before every ``again``th
    turn. In each turn all variants run, in a random order."""
    luck = random.Random(seed)
    took: dict[str, list[float]] = {}
    ways: Mapping[str, Way] = {}
    for turn in range(turns):
        if turn % again == 0:
            ways = begin()
        for name in luck.sample(sorted(ways), len(ways)):
            begun = time.perf_counter()
            ways[name]()
            took.setdefault(name, []).append(time.perf_counter() - begun)
    return took


def compare(took: Mapping[str, Sequence[float]], *, base: str, steps: int) -> dict[str, Any]:
    """Returns the median milliseconds per step of each variant, and the overhead over ``base`` in percent.

    The overhead is the median difference within a turn, divided by the median of ``base``, with a 95% interval by
    bootstrap over turns.
    """
    found: dict[str, Any] = {
        f"{way}_ms": _rounded(statistics.median(times) / steps * 1e3) for way, times in took.items()
    }
    middle = statistics.median(took[base])
    for way in sorted(took.keys() - {base}):
        more = [100 * (a - b) / middle for a, b in zip(took[way], took[base], strict=True)]
        luck = random.Random(0)
        samples = sorted(statistics.median(luck.choices(more, k=len(more))) for _ in range(SAMPLES))
        found[f"{way}_added_percent"] = _rounded(statistics.median(more))
        found[f"{way}_ci95"] = [_rounded(samples[SAMPLES // 40]), _rounded(samples[-SAMPLES // 40])]
    return found


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the medians over runs of the results of `compare`, without the intervals."""
    single = [name for name, value in runs[0].items() if isinstance(value, float)]
    return {name: _rounded(statistics.median(run[name] for run in runs)) for name in single}


def _rounded(value: float) -> float:
    return round(value, 3)
