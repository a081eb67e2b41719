"""What the launcher knows of a run while it goes: a fold over what is said on the mesh and what its processes do."""

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
"""The count by which services that answer say how many requests they have answered."""


class Member(msgspec.Struct):
    """One process as it last was. ``rate`` is requests answered a second, between its last two heartbeats."""

    instance: str
    role: str
    health: Health | None = None
    heard: float = 0.0
    rate: float = 0.0
    restarts: int = 0
    gone: str = ""


class Watch:
    """Times are seconds of any one clock, counted from the launcher's start."""

    def __init__(self, settings: Settings, members: Mapping[str, str]) -> None:
        self.settings = settings
        self.state = ReportState(holdback=settings.trainer.holdback)
        self._evaluator = EvaluatorState()
        self.members = {instance: Member(instance, role) for instance, role in members.items()}
        self._progress: dict[tuple[str, str], Progress] = {}  # the latest last
        self.moved = 0.0
        self._full: set[str] = set()

    # -- events

    def hear(self, delivery: Delivery, now: float) -> None:
        """A durable message."""
        self.state.apply(delivery)
        if isinstance(delivery.message, Round | Adapter | Swap | Evaluation):
            self._evaluator.apply(delivery.message)
        self.moved = now

    def hear_live(self, delivery: Delivery, now: float) -> None:
        """A live message: heartbeats and progress count, others are passed over."""
        match delivery.message:
            case Health(role="hub") as health:  # it speaks only of its disk
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
        """A process ended; where it is started again that counts as a restart."""
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

    # -- what it comes to

    @property
    def progress(self) -> dict[tuple[str, str], Progress]:
        """Of what is not done, by role and what it is; what was heard of last is last."""
        return {key: progress for key, progress in self._progress.items() if progress.done < progress.total}

    @property
    def storage_full(self) -> bool:
        """Whether some process waits for space on its disk: the hub with what all say, a service with its own files."""
        return bool(self._full)

    @property
    def unready(self) -> list[str]:
        """Services that have not said that they can work; the hub says nothing of the kind."""
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
        """Resident bytes of all processes together."""
        return sum(member.health.rss_bytes for member in self.members.values() if member.health)

    @property
    def evaluations_due(self) -> list[tuple[Role, int]]:
        """Versions that serve, or did, and have no figures yet."""
        return self._evaluator.due() if self.settings.evaluator.enabled else []

    @property
    def done(self) -> bool:
        """The last round is over and every figure is there; a run that was given more rounds has them before it."""
        now = self.state.round
        more = now is not None and now.number < self.settings.run.rounds
        return self.state.finished and not more and not self.evaluations_due

    def against_base(self, evaluation: Evaluation) -> float | None:
        """How much better than the base model, in points of a hundred."""
        base = self.state.evaluations.get((evaluation.role, 0))
        return None if base is None or evaluation.version == 0 else 100 * (evaluation.score.value - base.score.value)

    def round_counts(self) -> dict[str, tuple[int, int]]:
        """(done, due) in the current round, by what is done."""
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
