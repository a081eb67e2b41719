"""Metrics over several runs, with their uncertainty over seeds and over episodes. Pure."""

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Literal

import msgspec

from protocols.messages import Estimate
from services.proportions import difference, wilson

T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Quantiles of Student's t for two-sided 95% intervals, from 1 degree of freedom. Beyond the table the last one is
used, which is conservative."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One run's value of a metric: its seed, the value, and the episodes or frames that it was measured on."""

    seed: int
    value: float
    episodes: Estimate


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's mean over runs.

    ``ci95`` is Student's interval over the seeds' means if there are at least two seeds, else the interval over
    episodes. ``unit`` says which, and ``n`` is the number of these units. ``episodes`` is the number of distinct
    episodes, and ``ci95_episodes`` the interval from these alone: episodes that all runs share count once.
    """

    value: float
    n: int
    ci95: tuple[float, float]
    unit: Literal["seeds", "episodes"]
    episodes: int
    ci95_episodes: tuple[float, float]


def student(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean of at least two values."""
    half = T975[min(len(values) - 1, len(T975)) - 1] * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def by_seed(samples: Sequence[Sample]) -> list[float]:
    """The mean over base models for each seed."""
    seeds = sorted({sample.seed for sample in samples})
    return [mean(sample.value for sample in samples if sample.seed == seed) for seed in seeds]


def figure(samples: Sequence[Sample], *, shared: bool = True) -> Figure | None:
    """The metric of these runs, or None if there are none. ``shared``: all runs were measured on the same episodes."""
    if not samples:
        return None
    together = pool([sample.episodes for sample in samples], shared=shared)
    low, high = _interval(samples, together.ci95)
    return _figure(samples, together.n, (max(0.0, low), min(1.0, high)), together.ci95)


def gain(later: Sequence[Sample], earlier: Sequence[Sample]) -> Figure | None:
    """The mean difference of each run's later and earlier values. Both sequences have the same runs, in order."""
    if not later:
        return None
    paired = [
        Sample(seed=after.seed, value=after.value - before.value, episodes=after.episodes)
        for after, before in zip(later, earlier, strict=True)
    ]
    after, before = (pool([sample.episodes for sample in samples], shared=True) for samples in (later, earlier))
    _, low, high = difference(after, before)
    return _figure(paired, after.n, _interval(paired, (low, high)), (low, high))


def _interval(samples: Sequence[Sample], otherwise: tuple[float, float]) -> tuple[float, float]:
    means = by_seed(samples)
    return student(means) if len(means) > 1 else otherwise


def _figure(
    samples: Sequence[Sample], episodes: int, ci95: tuple[float, float], ci95_episodes: tuple[float, float]
) -> Figure:
    means = by_seed(samples)
    return Figure(
        value=mean(means),
        n=len(means) if len(means) > 1 else episodes,
        ci95=ci95,
        unit="seeds" if len(means) > 1 else "episodes",
        episodes=episodes,
        ci95_episodes=ci95_episodes,
    )


def pool(estimates: Sequence[Estimate], *, shared: bool) -> Estimate:
    """The runs' estimates combined. If they share episodes: the mean of values and interval bounds. Else: Wilson's
    interval over all episodes."""
    if not shared:
        return wilson(sum(round(one.value * one.n) for one in estimates), sum(one.n for one in estimates))
    low, high = (mean(one.ci95[end] for one in estimates) for end in (0, 1))
    return Estimate(value=mean(one.value for one in estimates), n=max(one.n for one in estimates), ci95=(low, high))


def rates(accuracy: Estimate, extra: dict[str, float]) -> dict[str, Estimate]:
    """True-positive rate, true-negative rate and their mean with intervals, from a critic's evaluation."""
    positives = round(extra.get("base_rate", 0.0) * accuracy.n)
    counts = {"tpr": positives, "tnr": accuracy.n - positives}
    found = {name: wilson(round(extra[name] * n), n) for name, n in counts.items() if name in extra}
    if len(found) == 2:
        one, other = found["tpr"], found["tnr"]
        value = (one.value + other.value) / 2
        below = math.hypot(one.value - one.ci95[0], other.value - other.ci95[0]) / 2
        above = math.hypot(one.ci95[1] - one.value, other.ci95[1] - other.value) / 2
        found["balanced"] = Estimate(value=value, n=accuracy.n, ci95=(value - below, value + above))
    return found
