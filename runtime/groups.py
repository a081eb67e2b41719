"""Consumer groups as pure state: leased, acknowledged and returned messages.

No I/O and no clock: the hub calls it after reads, acknowledgements and ended sessions, and stores the marks it returns.
"""

from collections.abc import Iterable, Sequence

from runtime.log import Mark


class Group:
    """One group's progress through one topic. All messages up to the offset ``committed`` are acknowledged.

    A message is leased to one session at a time, and leased again only after that session has ended or released it. A
    message may therefore be processed twice, but never by two live sessions at the same time.
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
        """The highest offset up to which all messages are acknowledged."""
        waiting = self._leases.keys() | self._returned
        return min(waiting) - 1 if waiting else self.cursor

    @property
    def returned(self) -> list[int]:
        """Offsets to lease again, oldest first."""
        return sorted(self._returned)

    @property
    def outstanding(self) -> int:
        """The number of messages read from the log and not yet acknowledged."""
        return len(self._leases) + len(self._returned)

    @property
    def ahead(self) -> int:
        """The number of acknowledged messages after the cursor: an earlier process of the hub leased them."""
        return len(self._acknowledged)

    def holds(self, session: bytes) -> list[int]:
        """Returns the offsets that are leased to a session, in order."""
        return sorted(offset for offset, holder in self._leases.items() if holder == session)

    def lease_returned(self, session: bytes, limit: int) -> list[int]:
        """Leases up to `limit` returned messages, oldest first."""
        taken = self.returned[:limit]
        for offset in taken:
            self._returned.discard(offset)
            self._leases[offset] = session
        return taken

    def lease_new(self, session: bytes, offsets: Sequence[int], *, through: int) -> list[int]:
        """Leases messages read from the log after the cursor, and skips the acknowledged ones. Returns their offsets.

        `offsets` are all messages of the topic in (cursor, through]; the cursor moves to `through`.
        """
        fresh = [offset for offset in offsets if offset > self.cursor and offset not in self._acknowledged]
        self._acknowledged.difference_update(offset for offset in offsets)
        for offset in fresh:
            self._leases[offset] = session
        self.cursor = max(self.cursor, through)
        return fresh

    def acknowledge(self, offsets: Iterable[int]) -> Mark:
        """Acknowledges messages from any session. A late acknowledgement counts, also after a restart of the hub.

        Returns the mark to store in the log.
        """
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
        """Includes a mark that could not be written in the next one."""
        self._unwritten.update(mark.above)

    def release(self, session: bytes, offsets: Iterable[int] | None = None) -> bool:
        """Ends leases of a session (by default all). Returns whether there were any."""
        back = {o for o in (self.holds(session) if offsets is None else offsets) if self._leases.get(o) == session}
        for offset in back:
            del self._leases[offset]
            self._returned.add(offset)
        return bool(back)

    def ended(self, until: int) -> bool:
        """Returns whether all messages up to `until` are acknowledged."""
        return self.committed >= until
