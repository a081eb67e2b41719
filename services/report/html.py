"""A run as one self-contained page: what was learned, how it was judged, and what it cost. Pure."""

from html import escape
from pathlib import PurePath

from protocols.messages import Role
from services.proportions import difference
from services.report.charts import curve
from services.report.feedback import feedback
from services.report.gallery import gallery
from services.report.numbers import percent, points, seconds, size
from services.report.page import FIGURES, ROLES, Material, bar, chip, section, table, tile, wide
from services.report.style import CSS
from services.report.summary import AdapterFigures

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load or run for the page: its own pictures and styles."""

_PHASES = {
    "collect": "collect and judge",
    "train_critic": "train critic",
    "rejudge": "judge again",
    "train_actor": "train actor",
}


def render(material: Material) -> str:
    """The whole page. Nothing in it comes from elsewhere, and everything that was said in the run is escaped."""
    name = PurePath(material.summary.run).name or "run"
    sections = (_head, _curves, _tiles, _rounds, _verbs, feedback, gallery, _adapters, _faults, _settings)
    body = "\n".join(part(material) for part in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(name)}: SELU run</title><style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(material: Material) -> str:
    summary = material.summary
    engine = summary.engine
    model = escape(engine.base_model or "the base model") if engine else "the base model"
    device = f" on {engine.device}" if engine and engine.device not in ("", "none") else ""
    served = escape(f", served by {engine.name} {engine.version}{device},") if engine else ""
    rounds = "1 round" if len(summary.rounds) == 2 else f"{len(summary.rounds) - 1} rounds"
    state = "" if summary.finished else chip("not finished", "bad")
    return (
        f"<h1>{escape(PurePath(summary.run).name or 'run')} {state}</h1>"
        f'<p class="lead">{model}{served} taught itself an unknown world for {rounds} '
        f"in {seconds(summary.seconds.get('total', 0))}, without reward and without human labels.</p>"
    )


def _curves(material: Material) -> str:
    cards: list[str] = []
    for role in ROLES:
        measured = [
            (figures.round, found)
            for figures in material.summary.rounds
            if (found := figures.critic_accuracy if role == "critic" else figures.actor_success) is not None
        ]
        hero, gain = "", ""
        if measured:
            first, last = measured[0][1], measured[-1][1]
            hero = f'<div class="hero">{percent(last.value)} <small>from {percent(first.value)}</small></div>'
            if len(measured) > 1:
                change, low, high = difference(last, first)
                gain = f"{points(100 * change)} (95% interval {100 * low:+.1f} to {100 * high:+.1f})"
        cards.append(
            f'<div class="card {role}"><h3><span class="key"></span>{FIGURES[role]}</h3>{hero}'
            f'<p class="gain">{gain or "&nbsp;"}</p>{curve(measured, name=FIGURES[role], series=role)}</div>'
        )
    return (
        f'<div class="two">{"".join(cards)}</div><p class="note" style="margin-top:12px">By round, on held-out tasks '
        "that are the same for every version. Bars are 95% Wilson intervals; the dotted line is the base model.</p>"
    )


def _tiles(material: Material) -> str:
    summary = material.summary
    t, a = summary.trajectories, summary.answers
    tiles = (
        tile(f"{t.collected}", "trajectories"),
        tile(f"{t.judged}", "judged"),
        tile(f"{t.asked}", "self-asked"),
        tile(f"{t.flipped}", "verdicts turned by it"),
        tile(f"{t.relabeled}", "relabelled in hindsight"),
        tile(f"{t.dropped_stale + t.dropped_other}", "dropped, with reason"),
        tile(f"{t.lost}", "lost", bad=t.lost > 0),
        tile(f"{a.total}", "model answers"),
        tile(f"{a.wrong_version}", "of a wrong version", bad=a.wrong_version > 0),
        tile(f"{a.failed}", "answers failed", bad=a.failed > 0),
        tile(f"{summary.restarts}", "restarts"),
        tile(size(summary.memory_peak_bytes), "memory at most"),
    )
    return section("What happened", "", f'<div class="tiles">{"".join(tiles)}</div>')


def _rounds(material: Material) -> str:
    rows: list[list[str]] = []
    for figures in material.summary.rounds:
        spent = ", ".join(f"{_PHASES.get(phase, phase)} {seconds(time)}" for phase, time in figures.seconds.items())
        rows.append(
            [
                "base" if figures.round == 0 else str(figures.round),
                bar(figures.critic_accuracy, "critic"),
                bar(figures.actor_success, "actor"),
                f"critic@{figures.critic_version}, actor@{figures.actor_version}",
                wide(spent),
            ]
        )
    note = "The versions that stand after each round. Where an adapter was refused, the one before it stands."
    return section("Rounds", note, table(("round", *FIGURES.values(), "versions", "time"), rows))


def _verbs(material: Material) -> str:
    last = material.summary.rounds[-1]
    versions: dict[Role, int] = {"critic": last.critic_version, "actor": last.actor_version}
    ends = {role: [material.evaluations.get((role, version)) for version in (0, versions[role])] for role in ROLES}
    verbs = sorted({verb for found in ends.values() for one in found if one for verb in one.by_task})
    if not verbs:
        return ""
    rows = [
        [escape(verb)] + [bar(one.by_task.get(verb) if one else None, role) for role in ROLES for one in ends[role]]
        for verb in verbs
    ]
    heads = ("task", "critic, base", f"critic@{versions['critic']}", "actor, base", f"actor@{versions['actor']}")
    extra = [
        [
            f"{evaluation.role}@{evaluation.version}",
            wide(", ".join(f"{name.replace('_', ' ')} {percent(share)}" for name, share in evaluation.extra.items())),
        ]
        for evaluation in (
            material.evaluations[key] for key in sorted(material.evaluations, key=lambda k: (k[1], k[0]))
        )
        if evaluation.extra
    ]
    further = (
        f"<details><summary>Further figures</summary>{table(('version', 'shares'), extra)}</details>" if extra else ""
    )
    return section(
        "By kind of task", "Held-out figures of the base model and of what stands now.", table(heads, rows), further
    )


def _adapters(material: Material) -> str:
    rows = [
        [
            f"{a.role}@{a.version}",
            _fate(a),
            str(a.rows),
            seconds(a.train_seconds),
            "" if a.swap_seconds is None else seconds(a.swap_seconds),
            "" if a.in_flight is None else str(a.in_flight),
            f"<code>{a.digest[:12]}</code>",
            wide(a.reason or ""),
        ]
        for a in material.summary.adapters
    ]
    if not rows:
        return section("Adapters", "None was trained.")
    heads = ("adapter", "", "rows", "training", "swap", "in flight", "digest", "")
    note = "Swapped into running engines: what was in flight then finished on the version it had started with."
    return section("Adapters", note, table(heads, rows))


def _fate(adapter: AdapterFigures) -> str:
    if adapter.withdrawn:
        return chip("withdrawn", "bad")
    return chip("promoted", "good") if adapter.promoted else chip("refused", "bad")


def _faults(material: Material) -> str:
    if not material.faults:
        return section("Faults", "Nothing was refused or given up.")
    rows = [[escape(f.service), wide(f.what), wide(f.why), wide(f.do)] for f in material.faults[-50:]]
    more = len(material.faults) - len(rows)
    note = f"The last {len(rows)}; {more} earlier ones are in the log." if more else ""
    return section("Faults", note, table(("process", "what", "why", "what is done"), rows))


def _settings(material: Material) -> str:
    pre = f"<pre>{escape(material.settings)}</pre>"
    return section("Settings", "", f"<details><summary>All of them, as this run used them</summary>{pre}</details>")
