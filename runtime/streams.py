"""Readers of durable topics: a subscription gets all messages; a consumer shares a topic with its group."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Self

import anyio
import msgspec

from protocols import commands as c
from protocols.codec import unseal
from protocols.errors import ProtocolError
from protocols.messages import AnyMessage
from runtime import crash
from runtime.link import Link
from runtime.storage import when_there_is_room

POLL_SECONDS = 5.0
"""How long the hub may delay the answer to one read (long poll) before the client asks again."""
REPLY_SECONDS = 60.0
"""How long a request waits for the hub's answer, including a restart of the hub."""


class Delivery(msgspec.Struct, frozen=True):
    """One received message. ``offset`` is its position in the log, over all topics; 0 for a live message.

    ``redelivered`` is True if a member of the group was given the message before and did not acknowledge it.
    """

    topic: str
    offset: int
    id: str
    producer: str
    time: float
    message: AnyMessage
    redelivered: bool = False
    acknowledge: Callable[[], Awaitable[None]] | None = None

    async def ack(self) -> None:
        """Acknowledges the message for the whole group; returns once that is on disk.

        Raises:
            RuntimeError: the message was not delivered to a consumer group.
        """
        if self.acknowledge is None:
            raise RuntimeError(f"{self.topic} at {self.offset} was not delivered to a consumer group: nothing to ack")
        await self.acknowledge()


def delivery(
    data: bytes, offset: int, *, redelivered: bool = False, acknowledge: Callable[[], Awaitable[None]] | None = None
) -> Delivery:
    """Decodes an envelope.

    Raises:
        ProtocolError: it cannot be decoded; the text names the offset. It stays in the log for a newer reader.
    """
    try:
        e = unseal(data)
    except ProtocolError as error:
        raise type(error)(f"message at offset {offset}: {error}") from error
    return Delivery(e.topic, offset, e.id, e.producer, e.time, e.body, redelivered, acknowledge)


class Subscription:
    """An endless iterator over durable topics in the order of the log. A slow reader lags and loses nothing."""

    def __init__(self, link: Link, topics: tuple[str, ...], after: int) -> None:
        self._link = link
        self._topics = topics
        self._after = after
        self._ready: deque[Delivery] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while not self._ready:
            await self._fetch(POLL_SECONDS)
        return self._ready.popleft()

    async def past(self) -> AsyncGenerator[Delivery]:
        """Yields the messages that the log holds when the iteration starts, and then ends.

        A fold uses it to catch up. Iterating over the subscription afterwards continues with the next message.
        """
        tail = await self._fetch(0.0)
        while self._ready or self._after < tail:
            while self._ready:
                yield self._ready.popleft()
            if self._after < tail:
                await self._fetch(0.0)

    async def _fetch(self, wait: float) -> int:
        """Reads the next messages into the buffer; returns the newest offset of the log."""
        command = c.Fetch(topics=self._topics, after=self._after, wait=wait)
        reply, payload = await self._link.request(command, timeout=REPLY_SECONDS)
        assert isinstance(reply, c.Batch)
        opened = [delivery(data, offset) for offset, data in zip(reply.offsets, payload, strict=True)]
        self._ready.extend(opened)
        self._after = reply.next
        return reply.tail


class Consumption:
    """An iterator over the messages of one topic that the hub leases to this member of the group.

    At most `max_in_flight` are unacknowledged at a time; the iterator then waits for an acknowledgement.
    """

    def __init__(self, link: Link, topic: str, group: str, start: int, max_in_flight: int, until: int | None) -> None:
        self._link = link
        self._topic = topic
        self._group = group
        self._start = start
        self._max_in_flight = max_in_flight
        self._until = until
        self._ready: deque[Delivery] = deque()
        self._held: set[int] = set()
        self._freed = anyio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while not self._ready:
            room = self._max_in_flight - len(self._held)
            if room <= 0:
                self._freed = anyio.Event()
                await self._freed.wait()
                continue
            command = c.Pull(
                group=self._group, topic=self._topic, start=self._start,
                limit=min(room, 512), wait=POLL_SECONDS, until=self._until,
            )  # fmt: skip
            reply, payload = await self._link.request(command, timeout=REPLY_SECONDS, orphan=self._give_back)
            assert isinstance(reply, c.Leased)
            again = set(reply.redelivered)
            for offset, data in zip(reply.offsets, payload, strict=True):
                self._held.add(offset)
                self._ready.append(
                    delivery(data, offset, redelivered=offset in again, acknowledge=_Acknowledge(self, offset))
                )
            if reply.ended:
                raise StopAsyncIteration
        return self._ready.popleft()

    async def acknowledge(self, offset: int) -> None:
        """Acknowledges a message for the group; returns once that is on disk. Waits while the disk is full."""
        crash.at("acknowledge", self._topic, "before")
        command = c.Acknowledge(group=self._group, topic=self._topic, offsets=(offset,))
        await when_there_is_room(partial(self._link.request, command, timeout=REPLY_SECONDS), own=False)
        crash.at("acknowledge", self._topic, "after")
        self._held.discard(offset)
        self._freed.set()

    async def release(self) -> None:
        """Returns all unacknowledged leases to the hub."""
        if self._held:
            held, self._held = tuple(sorted(self._held)), set()
            await self._link.send(c.Release(group=self._group, topic=self._topic, offsets=held))

    def _give_back(self, reply: c.Response) -> c.Command | None:
        if isinstance(reply, c.Leased) and reply.offsets:
            return c.Release(group=self._group, topic=self._topic, offsets=reply.offsets)
        return None


class _Acknowledge:
    """Acknowledges one offset through the consumer that received it."""

    def __init__(self, consumption: Consumption, offset: int) -> None:
        self._consumption = consumption
        self._offset = offset

    async def __call__(self) -> None:
        await self._consumption.acknowledge(self._offset)
