"""Records requests that the hub refuses: all are counted, and misuse is published on `faults` at a bounded rate."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from protocols import limits
from protocols.codec import digest, seal
from protocols.errors import (
    DecodeError,
    Forbidden,
    NotAdmitted,
    ProtocolError,
    SchemaError,
    TooLarge,
    UnknownTopic,
)
from protocols.messages import Fault
from runtime.journal import Journal, Write
from runtime.log import Append

AT_ONCE, EVERY_SECONDS = 8, 10.0
"""A token bucket: refusals recorded in a burst, and seconds per further one. A flood leaves six faults a minute."""
MALFORMED = "malformed"
"""The counter of frames that are not requests; refused requests are counted as ``refused_<code>``."""

_MISUSE = (DecodeError, Forbidden, NotAdmitted, SchemaError, TooLarge, UnknownTopic)
"""Errors that show a violation of the protocol. A busy hub, a timeout or a full disk is not the client's fault."""

log = logging.getLogger("selu.hub")


class Refusals:
    """Counts and records refusals. ``name`` is unique to this hub process; ``counts`` are the hub's."""

    def __init__(
        self, journal: Journal, counts: Counter[str], name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._counts = counts
        self._name = name
        self._clock = clock
        self._room = float(AT_ONCE)
        self._looked = clock()
        self._to_say: deque[Fault] = deque(maxlen=AT_ONCE)
        self._said = 0
        self._more = 0
        self._last = ""

    def note(self, who: str, error: ProtocolError, data: Sequence[bytes] = (), *, count: str = "") -> None:
        """Counts a refusal, and queues a fault if it is misuse and the rate allows it. ``data``: the refused bytes."""
        self._counts[count or f"refused_{error.code}"] += 1
        if not isinstance(error, _MISUSE):
            return
        self._refill()
        if self._room < 1:
            self._more += 1
            self._last = f"the last was from {who}: {error}"
            return
        self._room -= 1
        offending = digest(b"".join(data)) if data else None
        self._say(f"what {who} sent was refused", str(error), offending)

    async def look(self) -> None:
        """Publishes the queued faults. Called a few times a second."""
        self._refill()
        if self._more and self._room >= 1:
            self._room -= 1
            self._say(f"{self._more} more requests and messages were refused", self._last, None)
            self._more = 0
        while self._to_say:
            self._said += 1
            id = f"hub/{self._name}/refused-{self._said}"
            envelope = seal("faults", self._to_say.popleft(), id=id, producer="hub", seq=self._said)
            await self._journal.write(Write([Append("faults", id, envelope)], None, lambda _: None))

    def _refill(self) -> None:
        now = self._clock()
        self._room = min(float(AT_ONCE), self._room + (now - self._looked) / EVERY_SECONDS)
        self._looked = now

    def _say(self, what: str, why: str, offending: str | None) -> None:
        log.warning("%s: %s", what, why)
        fault = Fault(
            service="hub", what=what[: limits.TEXT_CHARS], why=why[: limits.TEXT_CHARS],
            do="nothing of it was kept; look at who sent it", offending=offending,
        )  # fmt: skip
        self._to_say.append(fault)
