"""The promotion gate: which trained adapters are refused, and which serving versions are withdrawn. Pure.

It uses self-feedback only, never the world's truth.
"""

import math
from collections import Counter
from collections.abc import Sequence

from services.proportions import difference, estimate
from services.settings import Trainer
from services.trainer.learner import Row, Trained


def too_few(rows: Sequence[Row], settings: Trainer) -> str | None:
    """The reason why there are too few rows to train on, or None."""
    if len(rows) < settings.min_rows:
        return f"{len(rows)} rows to train on, fewer than trainer.min_rows = {settings.min_rows}"
    return None


def refusal(trained: Trained, rows: Sequence[Row], settings: Trainer) -> str | None:
    """The reason why an adapter trained on these rows must not be promoted, or None.

    An adapter has collapsed if the share of its most common probe answer is above `trainer.collapse`, and the share of
    the rows' most common answer is below.
    """
    if not trained.losses:
        return "training reported no loss"
    if not all(math.isfinite(loss) for loss in trained.losses):
        return f"the loss is not finite: {', '.join(f'{loss:.3g}' for loss in trained.losses)}"
    if broken := {name: value for name, value in trained.metrics.items() if not math.isfinite(value)}:
        return f"metrics are not finite: {', '.join(sorted(broken))}"
    if not trained.probe:
        return "the adapter was not probed"
    said, often = _commonest(trained.probe)
    _, taught = _commonest([row.answer for row in rows])
    if often > settings.collapse > taught:
        return (
            f"self-feedback collapsed: {often:.0%} of {len(trained.probe)} probe answers are {said!r}, "
            f"over trainer.collapse = {settings.collapse}; the commonest answer of the rows has {taught:.0%}"
        )
    return None


CHANCE = 0.1
"""Significance level of the sign test in `disagrees`. It is not stricter because the two errors cost differently: a
wrong withdrawal leaves one round with its first verdicts only, a missed one trains an actor on wrong verdicts."""


def disagrees(held: Sequence[tuple[bool, bool]], settings: Trainer) -> str | None:
    """The reason why a tuned critic must be withdrawn, or None.

    ``held`` has one pair for each verdict held back from training: whether the previous critic, and whether the tuned
    one, agrees with the self-asked answers. The critic is withdrawn if its agreement falls by more than
    `trainer.critic_margin`, and a one-sided sign test of the losses against the gains is significant at `CHANCE`.
    """
    lost = sum(before and not after for before, after in held)
    won = sum(after and not before for before, after in held)
    if not held or (lost - won) / len(held) <= settings.critic_margin or _at_least(lost, lost + won) > CHANCE:
        return None
    before, after = (sum(pair[i] for pair in held) / len(held) for i in (0, 1))
    return (
        f"on {len(held)} self-asked verdicts that it was not trained on it agrees with {after:.0%}, the critic before "
        f"it with {before:.0%}: a loss beyond trainer.critic_margin = {settings.critic_margin}"
    )


def falls(now: Sequence[bool], before: Sequence[bool], settings: Trainer) -> str | None:
    """The reason why an actor must be withdrawn, or None.

    ``now`` are the successes and failures of its trajectories, ``before`` those of the previous actor, both according
    to the frozen base model's answers. The actor is withdrawn if success has fallen by more than `trainer.actor_margin`
    even at the upper bound of the difference's 95% interval.
    """
    later, earlier = estimate(now), estimate(before)
    _, _, high = difference(later, earlier)
    if high >= -settings.actor_margin:
        return None
    return (
        f"the frozen base model's answers see success in {later.value:.0%} of its {later.n} trajectories, in "
        f"{earlier.value:.0%} of {earlier.n} of the actor before it: a fall of at least {-high:.0%}, beyond "
        f"trainer.actor_margin = {settings.actor_margin}"
    )


def _at_least(heads: int, tosses: int) -> float:
    """The probability of at least that many heads."""
    return sum(math.comb(tosses, count) for count in range(heads, tosses + 1)) / 2**tosses


def _commonest(answers: Sequence[str]) -> tuple[str, float]:
    answer, count = Counter(answers).most_common(1)[0]
    return answer, count / len(answers)
