"""The end of a run: summary.json, report.html and the final table."""

import importlib.metadata
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from protocols.messages import Estimate
from runtime.atomic import replace_file
from runtime.log import LogFormatError
from runtime.paths import shown
from runtime.runfolder import RunFolder
from runtime.settings import dump, load
from scripts.launch.lines import estimate
from scripts.upkeep.sweep import Sweeper, Unreadable
from services.proportions import difference
from services.report.html import render
from services.report.load import gather, load_state
from services.report.numbers import seconds, size
from services.report.state import ReportState
from services.report.summary import RoundFigures, Summary, to_json
from services.settings import Settings


def conclude(run: RunFolder) -> Summary:
    """Writes summary.json and report.html from the folder's contents, and returns the summary.

    Raises:
        LogFormatError: the log is missing or cannot be read.
        OSError: the folder cannot be written.
    """
    settings, state, summary = _read(run)
    replace_file(run.summary_file, to_json(summary))
    replace_file(run.report_file, render(gather(run, state, summary, dump(settings))).encode())
    return summary


def summarize(run: RunFolder) -> Summary:
    """The summary of the folder's contents, without writing anything. Raises as `conclude`."""
    return _read(run)[2]


def _read(run: RunFolder) -> tuple[Settings, ReportState, Summary]:
    settings = load(Settings, file=run.settings_file)
    state = load_state(run, holdback=settings.trainer.holdback)
    return settings, state, state.summary(run=shown(run.path), version=importlib.metadata.version("selu"))


def tidy(run: RunFolder, settings: Settings) -> None:
    """Applies ``retention`` without a grace period, because no process uses the folder. The caller holds its lock."""
    if settings.retention.rounds or settings.retention.gib:
        with suppress(
            Unreadable, LogFormatError, sqlite3.Error, OSError
        ):  # nothing is deleted then; `selu doctor` reports the cause
            Sweeper(run, settings, grace=0.0).sweep()


def table(summary: Summary) -> str:
    """The rounds' metrics with their intervals, and the gain over round 0."""
    rows: list[Sequence[str]] = [("round", "critic accuracy", "actor success", "versions")]
    for figures in summary.rounds:
        name = f"{figures.round}" + (" (base)" if figures.round == 0 else "")
        versions = f"critic@{figures.critic_version}, actor@{figures.actor_version}"
        rows.append((name, _shown(figures.critic_accuracy), _shown(figures.actor_success), versions))
    if len(summary.rounds) > 1:
        first, last = summary.rounds[0], summary.rounds[-1]
        gains = [_gain(last, first, name) for name in ("critic_accuracy", "actor_success")]
        if any(gains):
            rows.append(("gain", *gains, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(found: Estimate | None) -> str:
    return "not evaluated" if found is None else estimate(found)


def _gain(later: RoundFigures, earlier: RoundFigures, name: str) -> str:
    after, before = getattr(later, name), getattr(earlier, name)
    if after is None or before is None:
        return ""
    gain, low, high = difference(after, before)
    return f"{100 * gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def conclusion(summary: Summary, run: RunFolder) -> str:
    """The last text of a run: the table, counts of events, and the paths of the results."""
    t, a = summary.trajectories, summary.answers
    engine = f" by {summary.engine.name} {summary.engine.version} ({summary.engine.device})" if summary.engine else ""
    promoted = sum(adapter.promoted for adapter in summary.adapters)
    withdrawn = sum(adapter.withdrawn for adapter in summary.adapters)
    gone = summary.let_go
    rounds = ", ".join(map(str, gone.rounds)) or "none"
    kept = [f"let go        {gone.blobs} frames of {size(gone.bytes)}, rounds {rounds}"] if gone.blobs else []
    return "\n".join(
        (
            "",
            table(summary),
            "",
            f"trajectories  {t.collected} collected, {t.judged} judged, {t.asked} self-asked, {t.flipped} verdicts "
            f"turned, {t.relabeled} relabelled, {t.dropped_stale} too stale, {t.lost} lost",
            f"answers       {a.total}{engine}; {a.wrong_version} of a wrong version, {a.failed} failed",
            f"adapters      {promoted} promoted, {len(summary.adapters) - promoted} refused, "
            f"{withdrawn} withdrawn; "
            f"{summary.faults} faults, {summary.restarts} restarts",
            f"time, memory  {seconds(summary.seconds.get('total', 0))}; at most {size(summary.memory_peak_bytes)}",
            *kept,
            f"report        {run.report_file}",
            f"summary       {run.summary_file}",
        )
    )
