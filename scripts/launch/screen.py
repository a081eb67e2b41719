"""A run on a terminal: events scroll by; below them phase, progress, figures and processes, redrawn in place."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from protocols.messages import Role
from scripts.launch.lines import estimate, judged, judged_again, status
from scripts.launch.watch import Member, Watch
from services.report.numbers import seconds, size

_ROLES: tuple[Role, ...] = ("critic", "actor")
_COLOURS = {"critic": "blue", "actor": "dark_orange"}


class Screen:
    """Shows a run with `rich`; the terminal is as it was afterwards."""

    def __init__(self, console: Console | None = None) -> None:
        self._begun = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Screen":
        self._live.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._live.update(Text(""))
        self._live.__exit__(None, None, None)

    def event(self, text: str) -> None:
        self._live.console.print(Text(f"{time.monotonic() - self._begun:7.1f}s  {text}"), highlight=False)

    def tick(self, watch: Watch) -> None:
        self._live.update(self.draw(watch))

    def draw(self, watch: Watch) -> RenderableType:
        elapsed = seconds(time.monotonic() - self._begun)
        head = Text(status(watch), style="bold")
        parts = [head, _progress(watch), _feedback(watch), _figures(watch), _members(watch)]
        return Panel(Group(*(part for part in parts if part is not None)), title="selu", subtitle=elapsed, expand=False)


def _progress(watch: Watch) -> RenderableType | None:
    counts = watch.round_counts()
    if not counts:
        return None
    grid = Table.grid(padding=(0, 2))
    names = [("collected", "trajectories"), ("judged", "verdicts"), ("hindsight", "hindsight")]
    if watch.state.round is not None and watch.state.round.phase in ("rejudge", "train_actor"):
        names.append(("rejudged", "judged again"))
    for key, name in names:
        done, due = counts[key]
        grid.add_row(name, ProgressBar(total=max(due, 1), completed=done, width=36), f"{done}/{due}")
    for (role, what), progress in list(watch.progress.items())[-3:]:
        if role != "simulator" and 0 < progress.done < progress.total:
            bar = ProgressBar(total=progress.total, completed=progress.done, width=36)
            grid.add_row(f"{role}: {what}", bar, f"{progress.done}/{progress.total}")
    return grid


def _feedback(watch: Watch) -> RenderableType | None:
    now = watch.state.feedback.now
    text = "; ".join(part for part in (judged(now), judged_again(now)) if part)
    return Text(text, style="dim") if text else None


def _figures(watch: Watch) -> RenderableType | None:
    rounds = watch.state.rounds()
    if not watch.state.evaluations:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("round", justify="right")
    for role in _ROLES:
        table.add_column(f"{role} {'accuracy' if role == 'critic' else 'success'}", style=_COLOURS[role])
        table.add_column("")
    for figures in rounds:
        cells: list[RenderableType] = []
        for found in (figures.critic_accuracy, figures.actor_success):
            share = 0.0 if found is None else found.value
            cells += [ProgressBar(total=1.0, completed=share, width=18), "..." if found is None else estimate(found)]
        table.add_row(str(figures.round), *cells)
    return table


def _members(watch: Watch) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("process", "state", "pid", "memory", "requests/s", "adapter", "restarts"):
        table.add_column(name, justify="left" if name in ("process", "state") else "right")
    for member in watch.members.values():
        health = member.health
        version = health.gauges.get("adapter_version") if health else None
        table.add_row(
            member.instance,
            _state(member),
            str(health.pid) if health else "",
            size(health.rss_bytes) if health else "",
            f"{member.rate:.0f}" if member.rate else "",
            "" if version is None else f"@{version:.0f}",
            str(member.restarts) if member.restarts else "",
        )
    lag = max((m.health.loop_lag_seconds for m in watch.members.values() if m.health), default=0.0)
    table.caption = f"{size(watch.memory)} in all, event loops at most {1000 * lag:.0f} ms late"
    table.caption_justify = "left"
    return table


def _state(member: Member) -> Text:
    if member.gone:
        return Text(member.gone, style="red" if member.gone == "given up" else "dim")
    if member.role == "hub":
        return Text("up", style="green")
    if member.health is None:
        return Text("starting", style="yellow")
    return Text("ready", style="green") if member.health.ready else Text("loading", style="yellow")
