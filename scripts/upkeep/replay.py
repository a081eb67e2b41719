"""Replays the training decisions from the log, and compares them with the recorded datasets."""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from protocols.codec import unseal
from protocols.errors import ProtocolError
from protocols.messages import Adapter, AnyMessage, Digest, Dropped, Relabel, Round, Swap, Trajectory, Verdict
from runtime.blobs import BlobStore
from runtime.log import Log
from runtime.runfolder import RunFolder
from services.settings import Settings
from services.trainer.book import VerdictMissing
from services.trainer.dataset import Example, dataset_digest
from services.trainer.state import Publish, TrainerState

TOPICS = ("rounds", "trajectories", "verdicts", "relabels", "adapters", "swaps", "dropped")
"""The trainer's topics (services/trainer/service.py)."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One training, as recorded and as replayed. ``difference`` is empty if they are the same."""

    adapter: str
    dataset: Literal["D_c", "D_a"]
    rows: int
    recorded: Digest
    folded: Digest | None
    difference: str = ""


def replay(run: RunFolder, settings: Settings) -> Iterator[Compared]:
    """Compares every adapter in the log with the trainer's decision at that point, in log order.

    Raises:
        LogFormatError: the log is missing or cannot be read.
        ProtocolError: a message cannot be decoded; the text names its offset.
    """
    state, blobs = TrainerState(settings), BlobStore(run.blobs)
    seen: set[str] = set()
    lost = ""
    for id, message in _messages(run):
        assert isinstance(message, Round | Trajectory | Verdict | Relabel | Adapter | Swap | Dropped)
        if isinstance(message, Adapter) and id not in seen:
            seen.add(id)
            yield _compare(id, message, state, blobs, lost)
        try:
            state.apply(message)
        except VerdictMissing as error:
            lost = lost or str(error)


def _messages(run: RunFolder) -> Iterator[tuple[str, AnyMessage]]:
    log = Log(run.log_file, readonly=True)
    try:
        after = 0
        while records := log.read(after=after, topics=TOPICS):
            for record in records:
                after = record.offset
                try:
                    yield record.id, unseal(record.envelope).body
                except ProtocolError as error:
                    raise type(error)(f"message at offset {after}: {error}") from error
    finally:
        log.close()


def _compare(id: str, adapter: Adapter, state: TrainerState, blobs: BlobStore, lost: str) -> Compared:
    name = f"{adapter.role}@{adapter.version}"
    work, folded, difference = None, None, lost
    if not lost:
        try:
            work = next((found for found in state.decide() if found.id == name), None)
            difference = "" if work else "the log before it does not lead to this training"
        except VerdictMissing as error:
            difference = str(error)
    if isinstance(work, Publish):  # the shared adapter: the critic's files under the actor's name
        same = isinstance(work.message, Adapter) and work.message.digest == adapter.digest
        folded = work.message.dataset if isinstance(work.message, Adapter) else None
        difference = "" if same and folded == adapter.dataset else "it is not the adapter that both share"
    elif work is not None:
        folded = dataset_digest(work.rows)
        parent = work.parent.version if work.parent else 0
        if parent != adapter.parent:
            difference = f"it was trained from version {adapter.parent}, the log says {parent}"
        elif folded != adapter.dataset:
            difference = _first(_recorded(blobs, adapter.dataset), work.rows)
    if not difference and id != name:
        difference = f"it is recorded as {id!r}"
    return Compared(
        adapter=name,
        dataset="D_c" if adapter.role == "critic" else "D_a",
        rows=adapter.rows,
        recorded=adapter.dataset,
        folded=folded,
        difference=difference,
    )


def _recorded(blobs: BlobStore, dataset: Digest) -> list[Example] | str:
    try:
        return [msgspec.json.decode(line, type=Example) for line in blobs.get(dataset).splitlines()]
    except (ProtocolError, msgspec.MsgspecError) as error:
        return str(error)


def _first(recorded: list[Example] | str, folded: Sequence[Example]) -> str:
    """A description of the first difference between two datasets, by trajectory."""
    if isinstance(recorded, str):
        return f"the digests differ, and the recorded rows cannot be looked at: {recorded}"
    for at, (then, now) in enumerate(zip(recorded, folded, strict=False)):
        if then == now:
            continue
        if then.trajectory != now.trajectory:
            first = min(then.trajectory, now.trajectory)
            return f"{first} differs first: row {at} was of {then.trajectory}, now {now.trajectory}"
        parts = [
            f"{field} was {getattr(then, field)!r}, now {getattr(now, field)!r}"
            for field in then.__struct_fields__
            if getattr(then, field) != getattr(now, field)
        ]
        return f"{then.trajectory} differs first: in row {at} {'; '.join(parts)}"
    longer = recorded if len(recorded) > len(folded) else folded
    if len(recorded) == len(folded):
        return "the rows are the same, but not their bytes: another version wrote them"
    at = min(len(recorded), len(folded))
    which = "was there and is not" if longer is recorded else "is there and was not"
    return f"{longer[at].trajectory} differs first: row {at} {which}"
