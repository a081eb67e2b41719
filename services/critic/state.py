"""Which trajectories the critic judges, and with which version: a fold over rounds, relabels and verdicts. No I/O."""

from collections import defaultdict

import msgspec

from protocols.messages import Relabel, Round, Task, Trajectory, Verdict
from services.critic.judging import Subject


class Rejudging(msgspec.Struct, frozen=True):
    """A round to judge again with the version trained in it. Its trajectories have log offsets ``start``..``until``."""

    round: int
    version: int
    start: int
    until: int

    @property
    def group(self) -> str:
        return f"critic/rejudge@{self.version}"


class _Book:
    """The log's messages about one round's trajectories: first verdicts, later verdicts, relabelled instructions."""

    def __init__(self) -> None:
        self.first: set[str] = set()
        self.again: set[tuple[str, Subject, int]] = set()
        self.relabels: dict[str, Task] = {}


class CriticState:
    """Apply events in log order. Duplicates have no effect."""

    def __init__(self) -> None:
        self._last: Round | None = None
        self._stands = 0
        self._opened: dict[int, tuple[int, Round]] = {}
        self._books: defaultdict[int, _Book] = defaultdict(_Book)
        self.rejudging: Rejudging | None = None

    def apply(self, offset: int, message: Round | Relabel | Verdict) -> None:
        if isinstance(message, Round):
            self._apply_round(offset, message)
        elif not self._closed(message.round):
            book = self._books[message.round]
            match message:
                case Relabel():
                    if message.task:
                        book.relabels[message.trajectory] = message.task
                case Verdict() if message.critic_version < message.round:
                    book.first.add(message.trajectory)
                case Verdict():
                    book.again.add((message.trajectory, message.subject, message.critic_version))

    def _apply_round(self, offset: int, round: Round) -> None:
        self._last = round
        if round.phase == "collect":
            self._opened.setdefault(round.number, (offset, round))
            for number in [number for number in self._books if number < round.number]:
                del self._books[number]
            for number in [number for number in self._opened if number < round.number - round.max_staleness]:
                del self._opened[number]
        self.rejudging = None
        if round.phase != "rejudge":
            self._stands = round.critic_version
        else:  # the tuned critic is not active yet: its verdicts may cause the gate to withdraw it
            # Simulators may play a round up to max_staleness rounds before its announcement.
            start = self._opened.get(max(1, round.number - round.max_staleness), (1, round))[0]
            self.rejudging = Rejudging(round.number, round.critic_version, start, offset)

    def _closed(self, number: int) -> bool:
        return self._last is not None and number < self._last.number

    # -- answers

    def version(self, trajectory: Trajectory) -> int | None:
        """The critic version that gives a trajectory's first verdict, or None if its round is still too far ahead.

        It is the version of the trajectory's round. If the trajectory arrives before its round's announcement, it is
        the newest version that passed rejudging.
        """
        if self._last is None or self._last.number < trajectory.round - self._last.max_staleness:
            return None
        opened = self._opened.get(trajectory.round)
        return opened[1].critic_version if opened else self._stands

    def judged(self, trajectory: Trajectory) -> bool:
        """Whether the trajectory needs no first verdict: it has one, or its round is closed."""
        return self._closed(trajectory.round) or trajectory.id in self._books[trajectory.round].first

    def subjects(self, trajectory: Trajectory, version: int) -> list[tuple[Subject, Task]]:
        """The instructions that a rejudging version has yet to judge: the trajectory's own and the relabelled one."""
        book = self._books[trajectory.round]
        tasks: list[tuple[Subject, Task]] = [("task", trajectory.task)]
        if found := book.relabels.get(trajectory.id):
            tasks.append(("relabel", found))
        return [(subject, task) for subject, task in tasks if (trajectory.id, subject, version) not in book.again]
