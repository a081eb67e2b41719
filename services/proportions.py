"""Measured proportions and their differences, with 95% intervals. Pure."""

import math
from collections.abc import Sequence

from protocols.messages import Estimate

Z95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95% interval."""


def wilson(successes: int, n: int) -> Estimate:
    """The proportion of successes with its 95% Wilson score interval (Wilson 1927); [0, 1] if n is 0.

    Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is no proportion")
    if n == 0:
        return Estimate(value=0.0, n=0, ci95=(0.0, 1.0))
    share, z2 = successes / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Estimate(value=share, n=n, ci95=(max(0.0, middle - half), min(1.0, middle + half)))


def estimate(results: Sequence[bool]) -> Estimate:
    return wilson(sum(results), len(results))


def difference(later: Estimate, earlier: Estimate) -> tuple[float, float, float]:
    """later - earlier as a proportion, and its 95% interval by Newcombe's hybrid score method (1998, method 10).

    The method assumes independent samples, which is conservative for proportions measured on the same tasks.
    """
    gain = later.value - earlier.value
    below = math.hypot(later.value - later.ci95[0], earlier.ci95[1] - earlier.value)
    above = math.hypot(later.ci95[1] - later.value, earlier.value - earlier.ci95[0])
    return gain, gain - below, gain + above
