"""The gate: which adapters must not be promoted, and which must not go on. Pure; it sees self-feedback only."""

import math
from collections import Counter
from collections.abc import Sequence

from services.proportions import difference, estimate
from services.settings import Trainer
from services.trainer.learner import Row, Trained


def too_few(rows: Sequence[Row], settings: Trainer) -> str | None:
    """Why these rows are not worth training on, or None."""
    if len(rows) < settings.min_rows:
        return f"{len(rows)} rows to train on, fewer than trainer.min_rows = {settings.min_rows}"
    return None


def refusal(trained: Trained, rows: Sequence[Row], settings: Trainer) -> str | None:
    """Why an adapter trained on these rows must not be promoted, or None.

    An adapter has collapsed where nearly all its probe answers are one and the same, though the rows were not.
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
"""How likely a loss at least as large may be by accident, were both critics equally good. Not stricter: to withdraw
wrongly costs a round whose first verdicts stand alone, to let pass wrongly an actor that is taught the opposite."""


def disagrees(held: Sequence[tuple[bool, bool]], settings: Trainer) -> str | None:
    """Why a tuned critic must be withdrawn, or None.

    ``held`` has for each verdict held back from training whether the critic before, and whether the tuned one, says
    what the self-asked answers say. Beyond the margin, those it lost must outnumber those it won by more than chance
    (one-sided sign test).
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
    """Why an actor must be withdrawn, or None.

    ``now`` are the successes and failures of its trajectories, ``before`` those of the actor before it, both as the
    frozen base model answered the questions about them.
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
    """The probability of that many heads or more."""
    return sum(math.comb(tosses, count) for count in range(heads, tosses + 1)) / 2**tosses


def _commonest(answers: Sequence[str]) -> tuple[str, float]:
    answer, count = Counter(answers).most_common(1)[0]
    return answer, count / len(answers)
