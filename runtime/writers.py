"""The hub's write side: checks messages, logs durable ones, and fans out those that every role may read."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream

from protocols.codec import Envelope, unseal
from protocols.errors import Forbidden, ProtocolError, StorageFull
from protocols.topics import ANYONE, may_say, topic
from runtime.fanout import Fanout
from runtime.journal import Commit, Journal, Write
from runtime.log import Append
from runtime.refusals import Refusals

Then = Callable[[list[tuple[int, bool]] | StorageFull], None]
"""Called with (offset, new) for each message once they are on disk, or with the error."""


class Writers:
    """Writes to a journal and to the fan-out socket. ``counts`` are totals by name."""

    def __init__(self, journal: Journal, fanout: Fanout, counts: Counter[str], refusals: Refusals) -> None:
        self._refusals = refusals
        self._journal = journal
        self._fanout = fanout
        self._counts = counts

    async def publish(self, role: str, producer: str, payload: Sequence[bytes], then: Then) -> None:
        """Queues all envelopes for the next commit. Raises `ProtocolError` and queues none if one is not allowed."""
        envelopes = [_checked(role, producer, data, durable=True) for data in payload]

        def count(results: list[tuple[int, bool]] | StorageFull) -> None:
            if not isinstance(results, StorageFull):
                self._counts["published"] += len(results)
                self._counts["duplicates"] += sum(not new for _, new in results)
            then(results)

        appends = [Append(e.topic, e.id, data) for e, data in zip(envelopes, payload, strict=True)]
        await self._journal.write(Write(appends, None, count))

    def emit(self, role: str, producer: str, payload: Sequence[bytes]) -> None:
        """Fans out live envelopes. Those that are not allowed, or find a full queue, are counted and dropped."""
        for data in payload:
            try:
                envelope = _checked(role, producer, data, durable=False)
            except ProtocolError as error:
                self._refusals.note(producer, error, [data])
                continue
            sent = self._fanout.send_nowait([envelope.topic.encode(), data])
            self._counts["emitted" if sent else "emitted_dropped"] += 1


def _checked(role: str, producer: str, data: bytes, *, durable: bool) -> Envelope:
    envelope = unseal(data)
    declared = topic(envelope.topic)
    if declared.durable is not durable:
        raise Forbidden(f"{envelope.topic} is a {'live' if durable else 'durable'} topic")
    if not may_say(role, declared):
        raise Forbidden(f"{role} may not publish on {envelope.topic}")
    if envelope.producer != producer:
        raise Forbidden(f"{producer} may not say that {envelope.producer!r} said {envelope.id!r}")
    return envelope


async def fan_out(commits: MemoryObjectReceiveStream[Commit], fanout: Fanout) -> None:
    """Sends committed messages on the PUB socket, except for topics that only some roles may read."""
    with commits:
        async for commit in commits:
            for record in commit.records:
                if topic(record.topic).readers == ANYONE:
                    head = msgspec.msgpack.encode({"offset": record.offset})
                    fanout.send_nowait([record.topic.encode(), record.envelope, head])
