"""The launcher's state of a run in progress: a fold over the mesh's messages and the processes' exits."""

from collections.abc import Mapping

import msgspec

from protocols.messages import Adapter, Evaluation, Health, Progress, Role, Round, Swap
from runtime.storage import STORAGE_FULL
from runtime.streams import Delivery
from runtime.supervisor import Exit
from services.evaluator.state import EvaluatorState
from services.report.state import ReportState
from services.settings import Settings

ANSWERED = "answered"
"""The gauge with which a service reports its number of answered requests."""


class Member(msgspec.Struct):
    """The last known state of one process. ``rate`` is answered requests per second between its last two heartbeats."""

    instance: str
    role: str
    health: Health | None = None
    heard: float = 0.0
    rate: float = 0.0
    restarts: int = 0
    gone: str = ""


class Watch:
    """Times are in seconds since the launcher's start, of one clock."""

    def __init__(self, settings: Settings, members: Mapping[str, str]) -> None:
        self.settings = settings
        self.state = ReportState(holdback=settings.trainer.holdback)
        self._evaluator = EvaluatorState()
        self.members = {instance: Member(instance, role) for instance, role in members.items()}
        self._progress: dict[tuple[str, str], Progress] = {}  # in order of arrival
        self.moved = 0.0
        self._full: set[str] = set()

    # -- events

    def hear(self, delivery: Delivery, now: float) -> None:
        """Applies a durable message."""
        self.state.apply(delivery)
        if isinstance(delivery.message, Round | Adapter | Swap | Evaluation):
            self._evaluator.apply(delivery.message)
        self.moved = now

    def hear_live(self, delivery: Delivery, now: float) -> None:
        """Applies a live message: heartbeats and progress. Others are ignored."""
        match delivery.message:
            case Health(role="hub") as health:  # the hub reports only a full disk
                self._look_at_disk(health)
            case Health() as health if health.instance in self.members:
                self._look_at_disk(health)
                self._beat(self.members[health.instance], health, now)
            case Progress() as progress:
                before = self._progress.pop(key := (progress.role, progress.what), None)
                if before != progress:
                    self.moved = now
                self._progress[key] = progress
            case _:
                pass

    def _look_at_disk(self, health: Health) -> None:
        if health.gauges.get(STORAGE_FULL, 0.0) > 0:
            self._full.add(health.instance)
        else:
            self._full.discard(health.instance)

    def _beat(self, member: Member, health: Health, now: float) -> None:
        before = member.health
        if before and before.pid == health.pid and now > member.heard:
            answered = health.gauges.get(ANSWERED, 0.0) - before.gauges.get(ANSWERED, 0.0)
            member.rate = max(0.0, answered / (now - member.heard))
        if health.ready and not (before and before.ready and before.pid == health.pid):
            self.moved = now
        member.health, member.heard = health, now

    def exited(self, exit: Exit, now: float) -> None:
        """Applies a process's exit. If the supervisor starts it again, that counts as a restart."""
        member = self.members[exit.instance]
        member.rate = 0.0
        self._full.discard(exit.instance)
        if member.health is not None:
            member.health = msgspec.structs.replace(member.health, ready=False)
        if exit.again_in is None:
            member.gone = "done" if exit.code == 0 else "given up"
        else:
            member.restarts += 1
        self.moved = now

    # -- derived state

    @property
    def progress(self) -> dict[tuple[str, str], Progress]:
        """Unfinished work by role and description, the most recently reported last."""
        return {key: progress for key, progress in self._progress.items() if progress.done < progress.total}

    @property
    def storage_full(self) -> bool:
        """Whether a process waits for disk space: the hub for the log, or a service for its own files."""
        return bool(self._full)

    @property
    def unready(self) -> list[str]:
        """The services that have not reported ready. The hub is not among them, because it reports no readiness."""
        return [
            member.instance
            for member in self.members.values()
            if member.role != "hub" and member.gone != "done" and not (member.health and member.health.ready)
        ]

    @property
    def requests_per_second(self) -> float:
        return sum(member.rate for member in self.members.values())

    @property
    def memory(self) -> int:
        """Resident bytes of all processes."""
        return sum(member.health.rss_bytes for member in self.members.values() if member.health)

    @property
    def evaluations_due(self) -> list[tuple[Role, int]]:
        """The versions that serve or served and have no evaluation yet."""
        return self._evaluator.due() if self.settings.evaluator.enabled else []

    @property
    def done(self) -> bool:
        """Whether the last round is over and every evaluation is there. False while `run.rounds` is larger."""
        now = self.state.round
        more = now is not None and now.number < self.settings.run.rounds
        return self.state.finished and not more and not self.evaluations_due

    def against_base(self, evaluation: Evaluation) -> float | None:
        """The gain over the base model in percentage points, or None."""
        base = self.state.evaluations.get((evaluation.role, 0))
        return None if base is None or evaluation.version == 0 else 100 * (evaluation.score.value - base.score.value)

    def round_counts(self) -> dict[str, tuple[int, int]]:
        """(done, due) in the current round, by kind of work."""
        now = self.state.round
        if now is None:
            return {}
        ids = set(self.state.trajectories[now.number].values())
        judged = [self.state.verdicts[id] for id in ids if id in self.state.verdicts]
        failed = [verdict.trajectory for verdict in judged if not verdict.success]
        return {
            "collected": (len(ids), now.quota),
            "judged": (len(judged), now.quota),
            "asked": (sum(bool(verdict.questions) for verdict in judged), len(judged)),
            "hindsight": (sum(id in self.state.relabels for id in failed), len(failed)),
            "relabeled": (sum(self.state.relabels.get(id, False) for id in failed), len(failed)),
            "rejudged": (len(ids & self.state.rejudged), now.quota),
        }
