"""Renders a run's report as one self-contained page: results, self-feedback and cost. Pure."""

from pathlib import PurePath
from typing import Any

from protocols.messages import Estimate, Role
from services.proportions import difference
from services.report.charts import chart
from services.report.numbers import points
from services.report.page import FIGURES, ROLES, Material
from services.report.style import CSS
from services.report.summary import EngineFigures, RoundFigures
from services.report.templating import render_template

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page's content security policy: only inline pictures and styles."""

FAULTS = 50
"""Most faults to show; the last ones are taken."""

_PHASES = {
    "collect": "collect and judge",
    "train_critic": "train critic",
    "rejudge": "judge again",
    "train_actor": "train actor",
}


def render(material: Material) -> str:
    """The whole page. It loads nothing from other places, and all texts of the run are escaped."""
    summary, last = material.summary, material.summary.rounds[-1]
    trained = len(summary.rounds) - 1
    return render_template(
        "report.html",
        policy=POLICY,
        css=CSS,
        name=PurePath(summary.run).name or "run",
        model=_model(summary.engine),
        rounds="1 round" if trained == 1 else f"{trained} rounds",
        figures=FIGURES,
        phases=_PHASES,
        summary=summary,
        last=last,
        curves=[_curve(role, summary.rounds) for role in ROLES],
        verbs=_verbs(material, last),
        further=[found for _, found in sorted(material.evaluations.items(), key=_by_version) if found.extra],
        samples=material.samples,
        frames=material.frames,
        faults=material.faults[-FAULTS:],
        earlier_faults=max(0, len(material.faults) - FAULTS),
        settings=material.settings,
    )


def _by_version(item: tuple[tuple[Role, int], Any]) -> tuple[int, str]:
    (role, version), _ = item
    return version, role


def _model(engine: EngineFigures | None) -> str:
    if engine is None:
        return "the base model"
    device = f" on {engine.device}" if engine.device not in ("", "none") else ""
    return f"{engine.base_model or 'the base model'}, served by {engine.name} {engine.version}{device},"


def _curve(role: Role, rounds: tuple[RoundFigures, ...]) -> dict[str, Any]:
    """The values of a role's card: its chart, first and last metric, and the gain between them."""
    measured: list[tuple[int, Estimate]] = []
    for figures in rounds:
        found = figures.critic_accuracy if role == "critic" else figures.actor_success
        if found is not None:
            measured.append((figures.round, found))
    first, last = (measured[0][1], measured[-1][1]) if measured else (None, None)
    gain = ""
    if first is not None and last is not None and len(measured) > 1:
        change, low, high = difference(last, first)
        gain = f"{points(100 * change)} (95% interval {100 * low:+.1f} to {100 * high:+.1f})"
    return {
        "role": role,
        "first": first,
        "last": last,
        "gain": gain,
        "chart": chart(measured, name=FIGURES[role], series=role),
    }


def _verbs(material: Material, last: RoundFigures) -> dict[str, list[tuple[str, Estimate | None]]]:
    """For each verb, the metrics of each role's base model and active version, in the columns' order."""
    versions: dict[Role, int] = {"critic": last.critic_version, "actor": last.actor_version}
    ends = [(role, material.evaluations.get((role, version))) for role in ROLES for version in (0, versions[role])]
    verbs = sorted({verb for _, found in ends if found for verb in found.by_task})
    return {verb: [(role, found.by_task.get(verb) if found else None) for role, found in ends] for verb in verbs}
