"""Retention: which frames of a run are no longer needed. A fold over its log, and a plan. No I/O.

Messages, datasets and adapters are kept for ever. Frames, nearly all of a run's bytes, may be deleted round by round.
"""

from collections.abc import Iterable, Mapping

import msgspec

from protocols.messages import Adapter, Digest, Dropped, Message, Relabel, Round, Swap, Trajectory, Verdict
from runtime.log import Mark
from services.settings import Settings
from services.trainer.book import VerdictMissing
from services.trainer.state import TrainerState

OWN_GROUPS = ("critic", "relabeler")
"""Consumer groups of the run's own services. They read frames of open rounds only, whatever their offsets are."""


def frames_of(message: object) -> set[Digest]:
    """The frames that a message names."""
    match message:
        case Trajectory():
            last = {message.final_frame} if message.final_frame is not None else set[Digest]()
            return last | {step.frame for step in message.steps}
        case Verdict():
            return {message.frame} | {question.frame for question in message.questions}
        case Relabel():
            return {question.frame for question in message.questions}
        case _:
            return set()


def kept_for_ever(message: object) -> set[Digest]:
    """The blobs of a message that no plan deletes: an adapter's files, and the rows that it was trained on."""
    return {*message.files.values(), message.dataset} if isinstance(message, Adapter) else set()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``needed`` are the blobs that must stay. ``rounds`` are the rounds whose frames are deleted, unless needed
    elsewhere. ``waiting`` has the consumer groups that have not read further rounds yet, with those rounds, which are
    kept."""

    needed: frozenset[Digest]
    rounds: tuple[int, ...] = ()
    waiting: dict[str, tuple[int, ...]] = {}
    over: int = 0
    """Bytes above ``retention.gib`` that are still needed."""


class Holdings:
    """The blobs that the log names, by round. Call `apply` with every message in log order, then `plan`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trainer = TrainerState(settings)
        self._frames: dict[int, set[Digest]] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._lost = False
        self.permanent: set[Digest] = set()

    def apply(self, offset: int, topic: str, message: Message) -> None:
        if isinstance(message, Trajectory | Verdict | Relabel):
            self._frames.setdefault(message.round, set()).update(frames_of(message))
            self._last[topic, message.round] = offset
        self.permanent |= kept_for_ever(message)
        if isinstance(message, Round | Trajectory | Verdict | Relabel | Adapter | Swap | Dropped):
            try:
                self._trainer.apply(message)
            except VerdictMissing:  # the log lost messages: it is unknown which frames are needed, so all are kept
                self._lost = True

    @property
    def closed(self) -> list[int]:
        """The rounds that no service works on any more, oldest first; the last one too when it is finished."""
        now = self._trainer.round
        if now is None:
            return []
        last = now.number if now.phase == "finished" else now.number - 1
        return [number for number in sorted(self._frames) if number <= last]

    @property
    def rounds(self) -> list[int]:
        """Every round with a message that names frames, oldest first."""
        return sorted(self._frames)

    @property
    def named(self) -> set[Digest]:
        """Every blob that a message names."""
        return self.permanent.union(*self._frames.values())

    def frames(self, rounds: Iterable[int]) -> set[Digest]:
        return set[Digest]().union(*(self._frames.get(number, set()) for number in rounds))

    @property
    def to_learn_from(self) -> set[Digest]:
        """The frames that a later training may read."""
        return self.frames(self._frames) if self._lost else self._trainer.frames

    def plan(
        self, marks: Iterable[Mark], sizes: Mapping[Digest, int], *, newcomers: Iterable[tuple[str, str]] = ()
    ) -> Plan:
        """The blobs to keep under ``retention``, given the groups' offsets and the size in bytes of every stored blob.

        ``newcomers`` are groups (name, topic) that have not acknowledged anything yet. All rounds are kept for them.
        """
        wanted = self._settings.retention
        closed = self.closed
        waiting = self._waiting(marks, newcomers, closed)
        held = {number for rounds in waiting.values() for number in rounds}
        always = self.permanent | self.to_learn_from | self.frames(self._frames.keys() - set(closed))

        def keeping(rounds: Iterable[int]) -> frozenset[Digest]:
            return frozenset(always | self.frames(set(rounds) | held))

        def bytes_of(digests: Iterable[Digest]) -> int:
            return sum(sizes.get(digest, 0) for digest in digests)

        kept = closed[len(closed) - min(wanted.rounds, len(closed)) :] if wanted.rounds else closed
        needed = keeping(kept)
        bound = int(wanted.gib * 2**30) if wanted.gib else None
        while bound is not None and kept and bytes_of(needed) > bound:
            kept = kept[1:]
            needed = keeping(kept)
        return Plan(
            needed=needed,
            rounds=tuple(number for number in closed if number not in kept and number not in held),
            waiting=waiting,
            over=max(0, bytes_of(needed) - bound) if bound is not None else 0,
        )

    def _waiting(
        self, marks: Iterable[Mark], newcomers: Iterable[tuple[str, str]], closed: list[int]
    ) -> dict[str, tuple[int, ...]]:
        """For each group, the closed rounds with messages that it has not read."""
        found: dict[str, set[int]] = {}
        places = [*((m.group, m.topic, m.committed) for m in marks), *((name, topic, 0) for name, topic in newcomers)]
        for name, topic, committed in places:
            if name.split("/")[0] not in OWN_GROUPS:
                behind = {number for number in closed if self._last.get((topic, number), 0) > committed}
                if behind:
                    found.setdefault(name, set()).update(behind)
        return {name: tuple(sorted(rounds)) for name, rounds in sorted(found.items())}
