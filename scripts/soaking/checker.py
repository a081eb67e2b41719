"""Checks a run's guarantees: no acknowledged message is lost, no effect exists twice, and no effect is missing.

It reads the run folder. The processes may still run, because the log is append-only.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping

import msgspec

from protocols.codec import unseal
from protocols.errors import ProtocolError
from protocols.messages import (
    Adapter,
    Dropped,
    Evaluation,
    Message,
    Outcome,
    Relabel,
    Round,
    Swap,
    Trajectory,
    Verdict,
)
from runtime.blobs import BlobStore
from runtime.log import Log, Record
from runtime.runfolder import RunFolder
from runtime.witness import Acknowledged

SHOWN = 5
"""Number of problems of each kind that are shown."""

Messages = dict[str, dict[str, Message]]
"""All messages of a log by topic and id."""
Learned = dict[str, tuple[str, str, bool]]
"""The training results of a run by adapter: digest of the rows, digest of the adapter, promoted."""


class Findings(msgspec.Struct, kw_only=True):
    """The problems of a run by kind.

    ``lost``: acknowledged messages that are not in the log at their offset. ``doubled``: effects that exist more than
    once. ``missing``: causes without their effect. ``damaged``: messages and blobs that cannot be read.
    """

    messages: int = 0
    acknowledged: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    missing: list[str] = []
    damaged: list[str] = []
    learned: Learned = {}

    @property
    def sound(self) -> bool:
        return not (self.lost or self.doubled or self.missing or self.damaged)

    def __str__(self) -> str:
        counts = f"{self.acknowledged} acknowledged of {self.messages} messages"
        if self.sound:
            return f"{counts}: none lost, none doubled, every effect there, every blob intact"
        kinds = {"lost": self.lost, "doubled": self.doubled, "missing": self.missing, "damaged": self.damaged}
        return f"{counts}: " + "; ".join(
            f"{len(found)} {kind} ({', '.join(found[:SHOWN])}{', ...' if len(found) > SHOWN else ''})"
            for kind, found in kinds.items()
            if found
        )


def records(run: RunFolder) -> Iterator[Record]:
    """Yields all records of a run's log, oldest first."""
    log = Log(run.log_file, readonly=True)
    try:
        after = 0
        while found := log.read(after=after):
            yield from found
            after = found[-1].offset
    finally:
        log.close()


def read(run: RunFolder) -> Messages:
    """Returns all messages of a run. Raises `ProtocolError` if one cannot be decoded."""
    messages: Messages = defaultdict(dict)
    for record in records(run):
        messages[record.topic][record.id] = unseal(record.envelope).body
    return messages


def examine(run: RunFolder, acknowledged: Iterable[Acknowledged] = ()) -> Findings:
    """Checks a run's log against the acknowledged messages, causes against effects, and blobs against their digests.

    Missing effects are reported only if the last round is finished.
    """
    found = Findings()
    places: dict[tuple[str, str], int] = {}
    messages: Messages = defaultdict(dict)
    for record in records(run):
        found.messages += 1
        if (record.topic, record.id) in places:
            found.doubled.append(f"{record.topic} {record.id}")
        places[record.topic, record.id] = record.offset
        try:
            messages[record.topic][record.id] = unseal(record.envelope).body
        except ProtocolError as error:
            found.damaged.append(f"offset {record.offset}: {error}")
    for told in acknowledged:
        found.acknowledged += 1
        if (place := places.get((told.topic, told.id))) != told.offset:
            found.lost.append(f"{told.topic} {told.id}, acknowledged at {told.offset}, is at {place}")
    counts = Counter(effect for by_id in messages.values() for m in by_id.values() if (effect := _effect(m)))
    found.doubled += [f"{effect} {times} times" for effect, times in counts.items() if times > 1]
    found.missing += _missing(messages)
    blobs = BlobStore(run.blobs)
    for digest in sorted({digest for by_id in messages.values() for m in by_id.values() for digest in _named(m)}):
        try:
            blobs.get(digest)
        except ProtocolError as error:
            found.damaged.append(str(error))
    found.learned = learned(messages)
    return found


def learned(messages: Mapping[str, Mapping[str, Message]]) -> Learned:
    """Returns the training results of a run."""
    adapters = [a for a in messages.get("adapters", {}).values() if isinstance(a, Adapter)]
    return {f"{a.role}@{a.version}": (a.dataset, a.digest, a.promoted) for a in adapters}


def _effect(message: Message) -> Hashable | None:
    """Returns the effect of a message. Only one message may have it, whatever the messages' ids."""
    match message:
        case Trajectory() as m:
            return "trajectory", m.round, m.index
        case Outcome() as m:
            return "outcome", m.trajectory
        case Verdict() as m:
            return "verdict", m.trajectory, m.subject, m.critic_version
        case Relabel() as m:
            return "relabel", m.trajectory
        case Adapter() as m:
            return "adapter", m.role, m.version
        case Swap() as m:
            return "swap", m.instance, m.role, m.version
        case Round() as m:
            return "round", m.number, m.phase
        case Dropped() as m:
            return "dropped", m.trajectory
        case Evaluation() as m:
            return "evaluation", m.role, m.version
        case _:
            return None


def _named(message: Message) -> Iterator[str]:
    """Yields the digests of the blobs that a message refers to."""
    match message:
        case Trajectory() as m:
            yield from (step.frame for step in m.steps)
            if m.final_frame is not None:
                yield m.final_frame
        case Adapter() as m:
            yield from (*m.files.values(), m.dataset)
        case _:
            pass


def _missing(messages: Mapping[str, Mapping[str, Message]]) -> list[str]:
    """Returns the effects that a finished run should have and has not; nothing for an unfinished run."""
    rounds = [m for m in messages.get("rounds", {}).values() if isinstance(m, Round)]
    if not rounds or rounds[-1].phase != "finished":
        return []
    wanted: set[Hashable] = {("round", number + 1, "collect") for number in range(rounds[-1].number)}
    failed = set[str]()
    trajectories = {m.id: m for m in messages.get("trajectories", {}).values() if isinstance(m, Trajectory)}
    judged = set[str]()
    acts = 0
    for message in (message for by_id in messages.values() for message in by_id.values()):
        match message:
            case Round(phase="collect") as m:
                wanted |= {("trajectory", m.number, index) for index in range(m.quota)}
                wanted |= {("adapter", role, m.number) for role in ("critic", "actor")}
                acts = m.actor_version
            case Round(phase="train_critic") as m if m.actor_version < acts:  # withdrawn: the round trains no actor
                wanted.discard(("adapter", "actor", m.number))
            case Verdict(subject="task") as m if m.critic_version < m.round:
                judged.add(m.trajectory)
                failed |= set() if m.success else {m.trajectory}
            case Adapter(promoted=True) as m:
                wanted.add(("swap", f"{m.role}-0", m.role, m.version))
            case Swap(served=True) as m:
                wanted.add(("evaluation", m.role, m.version))
            case _:
                pass
    if not messages.get("evaluations"):  # the run has no evaluator
        wanted = {effect for effect in wanted if not (isinstance(effect, tuple) and effect[0] == "evaluation")}
    wanted |= {("relabel", id) for id in failed}
    wanted |= {("outcome", id) for id, m in trajectories.items() if m.ended != "truncated"}
    there = {effect for by_id in messages.values() for m in by_id.values() if (effect := _effect(m))}
    unjudged = [id for id, m in trajectories.items() if m.ended != "truncated" and id not in judged]
    return [*sorted(map(str, wanted - there)), *(f"a first verdict of {id}" for id in sorted(unjudged))]
