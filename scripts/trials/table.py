"""The results as a Markdown page. Pure."""

from collections.abc import Callable, Iterable, Sequence

from scripts.trials.figures import Figure
from scripts.trials.results import MethodFigures, Results
from services.report.numbers import seconds

Row = Sequence[str]


def page(found: Results) -> str:
    """The whole page: how the results were made, then the tables."""
    rounds = f"Up to {found.final_round} rounds of {found.quota} trajectories"
    tasks, judged = found.heldout_seeds["tasks"], found.heldout_seeds["judgements"]
    parts = [
        f"# {found.name}",
        found.about,
        f'Measured on {tasks[1]} tasks and {judged[1]} judgements of the split "{found.split}" (episode seeds from '
        f"{tasks[0]} and {judged[0]} on), the same for every run. {rounds}; run seeds "
        f"{', '.join(map(str, found.seeds))}; base models {', '.join(found.bases.values())}.",
        "Brackets are 95% intervals: Student's over the seeds' means where a row has several, else over episodes "
        "(Wilson's; of a difference Newcombe's), which `results.json` also has beside the former. Gains are over round "
        "0 of the same runs, in points.",
        f"`{found.command}`, {found.software}, settings {found.settings_digest[:16]}. Runs by what answered in them: "
        f"{', '.join(f'{name} ({count})' for name, count in found.engines.items()) or 'none'}. Put together on "
        f"{found.hardware}.",
        *([f"Missing, and not in the tables: {', '.join(found.missing)}."] if found.missing else []),
    ]
    if found.methods:
        parts += [
            "## After the last round", _main(found),
            *([f"## Against {found.reference}", _AGAINST, _against(found)] if len(found.methods) > 1 else []),
            *(["## By base model", _by_base(found)] if len(found.bases) > 1 else []),
            "## By round", _by_round(found),
            "## Actor success by task", _by_task(found, lambda row: row.actor_by_task),
            "## Critic accuracy by task", _by_task(found, lambda row: row.critic_by_task),
            *(["## What was learned from", _LABELS, _labels(found)] if _taught(found) else []),
            *(["## Verdicts while learning", _VERDICTS, _verdicts(found)] if _taught(found) else []),
            "## Time", "Mean seconds a run by stage; several runs may have shared the machine.", _times(found),
            "## Rows", "\n".join(f"- `{name}`: {row.about}" for name, row in found.methods.items()),
        ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


_AGAINST = "Differences of the last figures in points, paired by base model and seed."

_LABELS = (
    "How right the rows of each round were, by the world's truth, which learning never sees: D_c's labels (all, its "
    "yes-labels, what of the true ones it called yes), and the trajectories of D_a."
)


_VERDICTS = (
    "How right the critic was about each round's own trajectories: as it first judged, after self-asking, and as its "
    "tuned self judged again."
)


def shown(found: Figure | None, *, signed: bool = False) -> str:
    """A metric in percent or points, with its interval and sample size."""
    if found is None:
        return ""
    sign = "+" if signed else ""
    value, low, high = (f"{100 * one:{sign}.1f}" for one in (found.value, *found.ci95))
    count = f"{found.n} seeds, {found.episodes} ep." if found.unit == "seeds" else f"{found.n} ep."
    return f"{value} [{low}, {high}] ({count})"


def brief(found: Figure | None) -> str:
    return "" if found is None else f"{100 * found.value:.1f} ({found.episodes})"


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _main(found: Results) -> str:
    head = (
        "method", "actor success", "gain", "critic accuracy", "gain", "balanced", "of successes", "of failures", "runs",
        "trajectories", "time a run",
    )  # fmt: skip
    return _table(head, (
        (
            name, shown(row.actor_success), shown(row.actor_gain, signed=True), shown(row.critic_accuracy),
            shown(row.critic_gain, signed=True), shown(row.critic_balanced), shown(row.critic_tpr),
            shown(row.critic_tnr), str(row.runs), f"{row.trajectories:.0f}", seconds(row.seconds.get("total", 0.0)),
        )
        for name, row in found.methods.items()
    ))  # fmt: skip


def _against(found: Results) -> str:
    return _table(("method", "actor success", "critic accuracy"), (
        (name, shown(row.actor_against, signed=True), shown(row.critic_against, signed=True))
        for name, row in found.methods.items()
        if name != found.reference
    ))  # fmt: skip


def _by_base(found: Results) -> str:
    head = ("method", *(f"{label}: {what}" for label in found.bases for what in ("actor", "critic")))
    names = ("actor_success", "critic_accuracy")
    return _table(head, (
        (name, *(shown(row.by_base.get(label, {}).get(metric)) for label in found.bases for metric in names))
        for name, row in found.methods.items()
    ))  # fmt: skip


def _by_round(found: Results) -> str:
    head = ("method", *(f"{what} {number}" for what in ("actor", "critic") for number in range(found.final_round + 1)))

    def cells(row: MethodFigures, pick: Callable[..., Figure | None]) -> list[str]:
        figures = [pick(one) for one in row.rounds]
        return [shown(one) for one in figures] + [""] * (found.final_round + 1 - len(figures))

    return _table(head, (
        (name, *cells(row, lambda one: one.actor_success), *cells(row, lambda one: one.critic_accuracy))
        for name, row in found.methods.items()
    ))  # fmt: skip


def _by_task(found: Results, pick: Callable[[MethodFigures], dict[str, Figure]]) -> str:
    tasks = sorted({task for row in found.methods.values() for task in pick(row)})
    rows = ((name, *(brief(pick(row).get(task)) for task in tasks)) for name, row in found.methods.items())
    return "Percent (and how many episodes).\n\n" + _table(("method", *tasks), rows)


def _taught(found: Results) -> dict[str, MethodFigures]:
    return {name: row for name, row in found.methods.items() if any(one.labels for one in row.rounds)}


def _labels(found: Results) -> str:
    first = ["d_c_accuracy", "d_c_precision", "d_c_recall", "d_a_precision", "d_a_recall"]
    there = {label for row in found.methods.values() for one in row.rounds for label in one.labels}
    more = sorted(label for label in there - {*first} if label.startswith("d_"))
    return _rounds_of_labels(found, [*first, *more], lambda label: f"D_{label[2:].replace('_', ' ')}")


def _verdicts(found: Results) -> str:
    kinds = ("judged", "asked", "rejudged")
    labels = [f"{kind}_{what}" for kind in kinds for what in ("accuracy", "precision", "recall")]
    return _rounds_of_labels(found, labels, lambda label: label.replace("_", " "))


def _rounds_of_labels(found: Results, labels: Sequence[str], words: Callable[[str], str]) -> str:
    rows = (
        (name, str(one.round), *(brief(one.labels.get(label)) for label in labels))
        for name, row in _taught(found).items()
        for one in row.rounds[1:]
    )
    return _table(("method", "round", *map(words, labels)), rows)


def _times(found: Results) -> str:
    stages = sorted({stage for row in found.methods.values() for stage in row.seconds} - {"total"})
    rows = (
        (name, *(f"{row.seconds.get(stage, 0.0):.0f}" for stage in (*stages, "total")))
        for name, row in found.methods.items()
    )
    return _table(("method", *(stage.replace("_", " ") for stage in stages), "total"), rows)
