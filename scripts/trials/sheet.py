"""``results.csv``: the metrics of every run after every round, for other analyses. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence

from scripts.trials.outcome import Outcome

RATES = ("tpr", "tnr")
LABELS = ("d_c_accuracy", "d_c_precision", "d_c_recall", "d_a_precision", "d_a_recall")
COLUMNS = (
    "base", "method", "seed", "round", "actor_success", "actor_episodes", "critic_accuracy", "critic_frames",
    *(f"critic_{name}" for name in RATES), *LABELS, "trajectories", "seconds", "engine",
)  # fmt: skip
"""``trajectories`` and ``seconds`` are those of the whole run. Shares are in [0, 1]; missing values are empty."""


def sheet(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """One line for each round of each run, by row; round 0 is the base model."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row, runs in outcomes.items():
        for run in runs:
            for at, standing in enumerate(run.rounds):
                actor, critic = standing.actor.score, standing.critic.score
                rates = [standing.critic.extra.get(name) for name in RATES]
                labels = [standing.labels[name].value if name in standing.labels else None for name in LABELS]
                figures = [actor.value, actor.n, critic.value, critic.n, *rates, *labels]
                lines.writerow(
                    [run.base, row, run.seed, at, *map(_short, figures), run.trajectories,
                     round(run.seconds.get("total", 0.0), 1), run.engine]
                )  # fmt: skip
    return out.getvalue()


def _short(figure: float | None) -> float | str:
    return "" if figure is None else round(figure, 4)
