"""The display of a run on a terminal: events scroll; below them phase, progress, metrics and processes are redrawn."""

import time
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from protocols.messages import Role
from scripts.launch.lines import NAMES, estimate, judged, judged_again, status
from scripts.launch.region import Region
from scripts.launch.show import stamped
from scripts.launch.speak import harmless
from scripts.launch.watch import Member, Watch
from scripts.launch.writer import Writer
from services.report.numbers import percent, seconds, size

_ROLES: tuple[Role, ...] = ("critic", "actor")
_COLOURS = {"critic": "blue", "actor": "dark_orange"}
_BARS = (36, 18, 8, 0)
"""Widths of progress bars; the widest that fits is used."""
_COLUMNS = ("process", "state", "memory", "adapter", "pid", "requests/s", "restarts")
"""Columns of the table of processes, the most important first. Narrow terminals show only the first ones."""


class Screen:
    """Displays a run with `rich` at the terminal's width. When it closes, only the events remain."""

    def __init__(self, out: Writer) -> None:
        self._begun = time.monotonic()
        self._region = Region(out)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *failure: object) -> None:
        self._region.clear()

    def event(self, text: str) -> None:
        self._region.above(stamped(text, time.monotonic() - self._begun))

    def tick(self, watch: Watch) -> None:
        self._region.show(draw(watch, seconds(time.monotonic() - self._begun)))


def draw(watch: Watch, elapsed: str) -> RenderableType:
    """The run's status in a frame, for any width that has room for a frame."""
    parts = [
        Text(harmless(status(watch)), style="bold"),
        _progress(watch),
        _feedback(watch),
        _figures(watch),
        _members(watch),
    ]
    return Panel(Group(*(part for part in parts if part is not None)), title="selu", subtitle=elapsed, expand=False)


class _Fitting:
    """Renders the first variant that fits the width, else the last one."""

    def __init__(self, variants: Sequence[Table]) -> None:
        self._variants = variants

    def _chosen(self, console: Console, options: ConsoleOptions) -> Table:
        free = options.update(max_width=1000)
        fitting = (one for one in self._variants if Measurement.get(console, free, one).maximum <= options.max_width)
        return next(fitting, self._variants[-1])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._chosen(console, options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._chosen(console, options))


def _bar(share: float, width: int) -> Iterator[RenderableType]:
    """A progress bar, or nothing if the width is 0."""
    if width:
        yield ProgressBar(total=1.0, completed=share, width=width)


def _progress(watch: Watch) -> RenderableType | None:
    counts = watch.round_counts()
    if not counts:
        return None
    names = [("collected", "trajectories"), ("judged", "verdicts"), ("hindsight", "hindsight")]
    if watch.state.round is not None and watch.state.round.phase in ("rejudge", "train_actor"):
        names.append(("rejudged", "judged again"))
    rows = [(name, *counts[key]) for key, name in names]
    for (role, what), progress in list(watch.progress.items())[-3:]:
        if role != "simulator" and 0 < progress.done < progress.total:
            rows.append((harmless(f"{role}: {what}"), progress.done, progress.total))
    variants: list[Table] = []
    for width in _BARS:
        grid = Table.grid(padding=(0, 2))
        for name, done, due in rows:
            grid.add_row(name, *_bar(done / max(due, 1), width), f"{done}/{due}")
        variants.append(grid)
    return _Fitting(variants)


def _feedback(watch: Watch) -> RenderableType | None:
    now = watch.state.feedback.now
    text = "; ".join(part for part in (judged(now), judged_again(now)) if part)
    return Text(text, style="dim") if text else None


def _figures(watch: Watch) -> RenderableType | None:
    if not watch.state.evaluations:
        return None
    variants: list[Table] = []
    for width, short in (*((width, False) for width in _BARS[1:]), (0, True)):
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("round", justify="right")
        for role in _ROLES:
            name = role if short else f"{role} {NAMES[role]}"
            table.add_column(name, style=_COLOURS[role], no_wrap=True, overflow="ellipsis")
            if width:
                table.add_column("")
        for figures in watch.state.rounds():
            cells: list[RenderableType] = []
            for found in (figures.critic_accuracy, figures.actor_success):
                share = 0.0 if found is None else found.value
                shown = "..." if found is None else percent(share) if short else estimate(found)
                cells += [*_bar(share, width), shown]
            table.add_row(str(figures.round), *cells)
        variants.append(table)
    return _Fitting(variants)


def _members(watch: Watch) -> RenderableType:
    lag = max((m.health.loop_lag_seconds for m in watch.members.values() if m.health), default=0.0)
    rows = [_member(member) for member in watch.members.values()]
    variants: list[Table] = []
    for count in range(len(_COLUMNS), 1, -1):
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in _COLUMNS[:count]:
            table.add_column(
                name, justify="left" if name in ("process", "state") else "right", no_wrap=True, overflow="ellipsis"
            )
        for row in rows:
            table.add_row(*(row[name] for name in _COLUMNS[:count]))
        variants.append(table)
    caption = Text(f"{size(watch.memory)} in all, event loops at most {1000 * lag:.0f} ms late", style="dim italic")
    return Group(_Fitting(variants), caption)


def _member(member: Member) -> dict[str, RenderableType]:
    health = member.health
    version = health.gauges.get("adapter_version") if health else None
    return {
        "process": member.instance,
        "state": _state(member),
        "pid": str(health.pid) if health else "",
        "memory": size(health.rss_bytes) if health else "",
        "requests/s": f"{member.rate:.0f}" if member.rate else "",
        "adapter": "" if version is None else f"@{version:.0f}",
        "restarts": str(member.restarts) if member.restarts else "",
    }


def _state(member: Member) -> Text:
    if member.gone:
        return Text(member.gone, style="red" if member.gone == "given up" else "dim")
    if member.role == "hub":
        return Text("up", style="green")
    if member.health is None:
        return Text("starting", style="yellow")
    return Text("ready", style="green") if member.health.ready else Text("loading", style="yellow")
