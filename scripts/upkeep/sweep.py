"""Deletes the frames that a retention plan releases, during a run or afterwards, but no blob that is in use."""

import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from protocols.codec import unseal
from protocols.errors import ProtocolError
from protocols.messages import Digest
from runtime.blobs import BlobStore, Stored
from runtime.log import Log
from runtime.metrics import Metrics, read_metrics
from runtime.runfolder import RunFolder
from scripts.upkeep.retention import Holdings, Plan
from services.evaluator.judgements import Held
from services.patience import TRIES
from services.settings import Settings

KIND = "let_go"
"""The kind of a line in metrics.jsonl that records a deletion. It is on disk before anything is deleted."""
SLACK = 2.0
"""Factor on the longest duration of an episode, after which its unreferenced frames count as abandoned."""


class Unreadable(Exception):
    """A message that this version cannot decode may name any blob; nothing can be deleted."""


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """The deletions of one sweep. ``rounds`` are the rounds whose frames were deleted in it."""

    plan: Plan
    rounds: tuple[int, ...] = ()
    blobs: int = 0
    bytes: int = 0


def grace_seconds(settings: Settings) -> float:
    """How long a blob may be in use before a message names it: at most the longest episode, times `SLACK`."""
    step = settings.simulator.step_seconds + TRIES * settings.mesh.call_seconds
    return SLACK * settings.simulator.max_steps * step


def rounds_let_go(run: RunFolder) -> set[int]:
    """The rounds whose frames were deleted."""
    rows = (row for row in read_metrics(run.metrics_file) if row["kind"] == KIND)
    return {int(number) for row in rows for number in str(row.get("rounds") or "").split()}


def measured_on(run: RunFolder) -> set[Digest]:
    """The frames of the held-out judgement sets. No message names them, but every measurement needs them."""
    found: set[Digest] = set()
    for file in (run.path / "evaluation").glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            try:
                held = msgspec.json.decode(line, type=Held)
            except msgspec.MsgspecError:
                continue
            if held.frame is not None:
                found.add(held.frame)
    return found


class Sweeper:
    """Deletes blobs that have been unneeded and unchanged for `grace` seconds. Keeps its state between sweeps.

    With grace 0, for a run that is not up, it deletes at once. It uses a monotonic clock, because a wall clock may
    jump. Not thread-safe; blocking.
    """

    def __init__(
        self, run: RunFolder, settings: Settings, *, grace: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run = run
        self._grace = grace
        self._clock = clock
        self._blobs = BlobStore(run.blobs)
        self._holdings = Holdings(settings)
        self._after = 0
        self._marked: dict[Stored, float] = {}
        self._said = rounds_let_go(run)

    def sweep(self, *, groups: Iterable[tuple[str, str]] = (), pretend: bool = False) -> Swept:
        """Sweeps once. ``groups`` are the consumer groups (name, topic) that the hub knows. The log lacks those that
        have not acknowledged anything yet.

        Raises:
            LogFormatError: the log is missing or cannot be read.
            Unreadable: a message cannot be decoded.
            OSError: the deletion cannot be recorded; nothing was deleted.
        """
        entries = list(self._blobs.entries())  # before the log: messages that name these blobs meanwhile are then seen
        log = Log(self._run.log_file, readonly=True)
        try:
            self._after = _fold(log, self._after, self._holdings)
            marks = log.marks()
        finally:
            log.close()
        sizes = {stored.digest: stored.size for stored in entries}
        newcomers = set(groups) - {(mark.group, mark.topic) for mark in marks}
        plan = self._holdings.plan(marks, sizes, newcomers=newcomers)
        kept = plan.needed | measured_on(self._run)
        due = self._due([stored for stored in entries if stored.digest not in kept])
        return self._delete(plan, due, pretend)

    def _due(self, candidates: list[Stored]) -> list[Stored]:
        """The candidates that have been unneeded and unchanged for the whole grace period."""
        now = self._clock()
        self._marked = {stored: self._marked.get(stored, now) for stored in candidates}
        return [stored for stored, since in self._marked.items() if now - since >= self._grace]

    def _delete(self, plan: Plan, due: list[Stored], pretend: bool) -> Swept:
        digests = {stored.digest for stored in due}
        rounds = tuple(
            number
            for number in plan.rounds
            if number not in self._said and not digests.isdisjoint(self._holdings.frames([number]))
        )
        size = sum(stored.size for stored in due)
        if due and not pretend:
            told = " ".join(map(str, rounds))
            if not Metrics(self._run, "retention").write(KIND, rounds=told, blobs=len(due), bytes=size):
                raise OSError(errno.ENOSPC, f"what would be let go cannot be recorded in {self._run.metrics_file}")
            _sync(self._run.metrics_file)
            self._said.update(rounds)
            gone = [stored for stored in due if self._blobs.drop(stored)]
            for stored in due:
                self._marked.pop(stored, None)
            return Swept(plan=plan, rounds=rounds, blobs=len(gone), bytes=sum(stored.size for stored in gone))
        return Swept(plan=plan, rounds=rounds, blobs=len(due), bytes=size)


def missing_to_learn(run: RunFolder, settings: Settings) -> tuple[int, ...]:
    """The rounds whose deleted frames these settings would train on. Raises as `Sweeper.sweep`."""
    rounds = rounds_let_go(run)
    if not rounds:
        return ()
    holdings, blobs = Holdings(settings), BlobStore(run.blobs)
    log = Log(run.log_file, readonly=True)
    try:
        _fold(log, 0, holdings)
    finally:
        log.close()
    wanted = {digest for digest in holdings.to_learn_from if not blobs.has(digest)}
    return tuple(number for number in sorted(rounds) if not wanted.isdisjoint(holdings.frames([number])))


def _fold(log: Log, after: int, holdings: Holdings) -> int:
    """Applies the rows above `after`; returns the last one's offset."""
    while records := log.read(after=after):
        for record in records:
            try:
                message = unseal(record.envelope).body
            except ProtocolError as error:
                raise Unreadable(f"the message at offset {record.offset} cannot be read: {error}") from error
            holdings.apply(record.offset, record.topic, message)
            after = record.offset
    return after


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
