"""The promotion gate: which adapters must not be served. Pure (design: refuse collapse, keep the last good one)."""

import math
from collections import Counter
from collections.abc import Sequence

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


def _commonest(answers: Sequence[str]) -> tuple[str, float]:
    answer, count = Counter(answers).most_common(1)[0]
    return answer, count / len(answers)
