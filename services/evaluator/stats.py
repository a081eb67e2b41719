"""Proportions by group, and the error rates of a judge. Pure."""

from collections.abc import Iterable, Sequence

from protocols.messages import Estimate
from services.proportions import estimate


def by_group(results: Iterable[tuple[str, bool]]) -> dict[str, Estimate]:
    """One estimate per group, sorted by the group's name."""
    groups: dict[str, list[bool]] = {}
    for name, result in results:
        groups.setdefault(name, []).append(result)
    return {name: estimate(groups[name]) for name in sorted(groups)}


def judge_rates(judged: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """Rates of a judge, in [0, 1], from (said yes, is true) pairs. Rates that the pairs do not define are left out."""
    rates: dict[str, float] = {}
    said_of_true = [said for said, so in judged if so]
    said_of_false = [said for said, so in judged if not so]
    if judged:
        rates["yes_rate"] = sum(said for said, _ in judged) / len(judged)
        rates["base_rate"] = len(said_of_true) / len(judged)
    if said_of_true:
        rates["tpr"] = sum(said_of_true) / len(said_of_true)
    if said_of_false:
        rates["tnr"] = 1 - sum(said_of_false) / len(said_of_false)
    if said_of_true and said_of_false:
        rates["balanced_accuracy"] = (rates["tpr"] + rates["tnr"]) / 2
    return rates
