"""Consumer groups as pure state: who holds which message, what is done, and what must be handed out again.

No I/O and no clock: the hub tells it what was read, acknowledged and who is gone, and persists the marks it returns.
"""

from collections.abc import Iterable, Sequence

from runtime.log import Mark


class Group:
    """One group's progress through one topic. Offsets are the log's; ``committed`` means all up to it are done.

    A message is handed to one session at a time. It is handed out again only when that session is gone or gave it
    back, so a message may run twice but never at once on two live sessions.
    """

    def __init__(self, name: str, topic: str, *, committed: int = 0, above: Iterable[int] = ()) -> None:
        self.name = name
        self.topic = topic
        self.cursor = committed
        self._acknowledged = set(above)
        self._leases: dict[int, bytes] = {}
        self._returned: set[int] = set()
        self._unwritten: set[int] = set()

    @property
    def committed(self) -> int:
        waiting = self._leases.keys() | self._returned
        return min(waiting) - 1 if waiting else self.cursor

    @property
    def returned(self) -> list[int]:
        """Offsets to hand out again, oldest first."""
        return sorted(self._returned)

    @property
    def outstanding(self) -> int:
        """Messages read from the log and not yet done."""
        return len(self._leases) + len(self._returned)

    @property
    def ahead(self) -> int:
        """Messages done before they were read: by a life of the hub that this one does not remember."""
        return len(self._acknowledged)

    def holds(self, session: bytes) -> list[int]:
        return sorted(offset for offset, holder in self._leases.items() if holder == session)

    def lease_returned(self, session: bytes, limit: int) -> list[int]:
        """Hands out up to `limit` messages that came back, oldest first."""
        taken = self.returned[:limit]
        for offset in taken:
            self._returned.discard(offset)
            self._leases[offset] = session
        return taken

    def lease_new(self, session: bytes, offsets: Sequence[int], *, through: int) -> list[int]:
        """Hands out messages read from the log after the cursor; those acknowledged already are passed over.

        `offsets` are all messages of the topic in (cursor, through]; the cursor moves to `through`.
        """
        fresh = [offset for offset in offsets if offset > self.cursor and offset not in self._acknowledged]
        self._acknowledged.difference_update(offset for offset in offsets)
        for offset in fresh:
            self._leases[offset] = session
        self.cursor = max(self.cursor, through)
        return fresh

    def acknowledge(self, offsets: Iterable[int]) -> Mark:
        """Marks messages done, whoever holds them: a late acknowledgement counts, also after a restart of the hub."""
        done = tuple(o for o in offsets if o in self._leases or o in self._returned or o > self.cursor)
        for offset in done:
            self._leases.pop(offset, None)
            self._returned.discard(offset)
            if offset > self.cursor:
                self._acknowledged.add(offset)
        committed = self.committed
        above = tuple(offset for offset in (*done, *self._unwritten) if offset > committed)
        self._unwritten.clear()
        return Mark(self.name, self.topic, committed, above)

    def unwritten(self, mark: Mark) -> None:
        """A mark that could not be written: the next one says what it said."""
        self._unwritten.update(mark.above)

    def release(self, session: bytes, offsets: Iterable[int] | None = None) -> bool:
        """Takes leases back from a session (all of them by default). Returns whether anything came back."""
        back = {o for o in (self.holds(session) if offsets is None else offsets) if self._leases.get(o) == session}
        for offset in back:
            del self._leases[offset]
            self._returned.add(offset)
        return bool(back)

    def ended(self, until: int) -> bool:
        """Whether everything up to `until` is done."""
        return self.committed >= until
