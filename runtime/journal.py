"""Group commit over the hub's log: queued writes share one commit, and the newest messages are read from memory.

A task that waits for new messages or for a group's progress waits for `Journal.changed`.
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectSendStream

from protocols import limits
from protocols.errors import StorageFull
from runtime import crash
from runtime.log import Append, Log, Mark, Record

PENDING = 1024
"""Writes in the queue, and in one commit. Publishers wait while the queue is full."""
RECENT, RECENT_BYTES = 4096, 32 * limits.MIB
"""Number and bytes of the newest messages that are kept in memory; the cache is trimmed at twice either."""


def _places() -> "array[int]":
    return array("q")


class Write(msgspec.Struct, frozen=True):
    """A queued write. ``then`` is called after the commit with (offset, new) for each append, or with the error."""

    appends: Sequence[Append]
    mark: Mark | None
    then: Callable[[list[tuple[int, bool]] | StorageFull], None]


class Commit(msgspec.Struct, frozen=True):
    """The messages that one commit added, in order."""

    records: tuple[Record, ...]


class Journal:
    """Group commit and cached reads over one `Log`. `run` must be running in a task group.

    ``refused`` is the reason why the last commit failed for lack of space, or None. ``tail`` is the newest offset.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._send, self._receive = anyio.create_memory_object_stream[Write](PENDING)
        self._recent: list[Record] = []
        self._lock = anyio.Lock()
        self._changed = anyio.Event()
        self._recent_bytes = 0
        # The offsets of each topic, at eight bytes per message: any client may ask for the lag, and often.
        self._places: defaultdict[str, array[int]] = defaultdict(_places)
        for topic, offset in log.places():
            self._places[topic].append(offset)
        self.tail = log.tail()
        self.refused: str | None = None
        self._recent_from = self.tail
        self.commits = 0

    @property
    def waiting(self) -> int:
        """The number of queued writes, at most `PENDING`."""
        return self._send.statistics().current_buffer_used

    async def write(self, write: Write) -> None:
        """Queues a write for the next commit. Waits while the queue is full."""
        await self._send.send(write)

    async def run(self, committed: MemoryObjectSendStream[Commit], *, task_status: TaskStatus[None]) -> None:
        """Commits queued writes in batches until cancelled, and sends the new messages of each to `committed`."""
        task_status.started()
        with self._send, self._receive, committed:
            async for first in self._receive:
                batch = [first]
                while len(batch) < PENDING:
                    try:
                        batch.append(self._receive.receive_nowait())
                    except anyio.WouldBlock:
                        break
                await self._commit(batch, committed)

    async def _commit(self, batch: list[Write], committed: MemoryObjectSendStream[Commit]) -> None:
        appends = [append for write in batch for append in write.appends]
        marks = [write.mark for write in batch if write.mark is not None]
        crash.at("commit.before")
        try:
            async with self._lock:
                results = await anyio.to_thread.run_sync(self._log.write, appends, marks)
        except StorageFull as error:
            self.refused = str(error)
            for write in batch:
                write.then(error)
            return
        self.refused = None
        crash.at("commit.after")
        self.commits += 1
        at = 0
        for write in batch:
            write.then(results[at : at + len(write.appends)])
            at += len(write.appends)
        crash.at("commit.told")
        fresh = tuple(
            Record(offset, append.topic, append.id, append.envelope)
            for append, (offset, new) in zip(appends, results, strict=True)
            if new
        )
        if fresh:
            self.tail = fresh[-1].offset
            for record in fresh:
                self._places[record.topic].append(record.offset)
            self._remember(fresh)
            await committed.send(Commit(fresh))
        self.notify()

    def _remember(self, fresh: Sequence[Record]) -> None:
        self._recent.extend(fresh)
        self._recent_bytes += sum(len(record.envelope) for record in fresh)
        if len(self._recent) <= 2 * RECENT and self._recent_bytes <= 2 * RECENT_BYTES:
            return
        kept = size = 0
        for record in reversed(self._recent[-RECENT:]):
            size += len(record.envelope)
            if size > RECENT_BYTES:
                break
            kept += 1
        forgotten = len(self._recent) - kept
        self._recent_from = self._recent[forgotten - 1].offset
        del self._recent[:forgotten]
        self._recent_bytes = sum(len(record.envelope) for record in self._recent)

    def notify(self) -> None:
        """Wakes all tasks that wait for `changed`."""
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def changed(self) -> anyio.Event:
        """An event that is set at the next commit, or when a group's leases were released."""
        return self._changed

    async def read(
        self, after: int, topics: Sequence[str], limit: int, size: int = limits.BATCH_BYTES
    ) -> tuple[list[Record], int]:
        """Returns messages of `topics` above `after`, at most `limit` and `size` bytes, oldest first.

        The second value is the offset up to which the result is complete: the `after` of the next read. A single
        message larger than `size` is returned alone.
        """
        tail = self.tail
        if after >= tail:
            return [], max(after, tail)
        if after >= self._recent_from:
            wanted = frozenset(topics)
            start = bisect_right(self._recent, after, key=lambda record: record.offset)
            found: list[Record] = []
            for record in self._recent[start:]:
                if record.topic in wanted:
                    found.append(record)
                    if len(found) == limit:
                        break
        else:
            async with self._lock:
                found = await anyio.to_thread.run_sync(lambda: self._log.read(after=after, topics=topics, limit=limit))
        whole = len(found) < limit
        total = 0
        for index, record in enumerate(found):
            total += len(record.envelope)
            if total > size and index:
                found, whole = found[:index], False
                break
        if not whole:
            return found, found[-1].offset
        # A commit during the read may have added messages beyond `tail`.
        return found, max(tail, found[-1].offset) if found else tail

    async def at(self, offsets: Sequence[int], topic: str) -> list[Record]:
        """Returns the messages of one topic at exactly these offsets."""
        records: list[Record] = []
        for offset in offsets:
            found, _ = await self.read(offset - 1, (topic,), 1)
            records.extend(record for record in found if record.offset == offset)
        return records

    def count(self, topic: str, after: int) -> int:
        """Returns the number of messages of the topic with offsets above `after`."""
        places = self._places[topic]
        return len(places) - bisect_right(places, after)
