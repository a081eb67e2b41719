"""The hub's read side: long polls for subscribers, and leases for the members of consumer groups."""

from collections.abc import Callable, Iterable

import anyio

from protocols import commands as c
from protocols.errors import Busy, Forbidden
from protocols.topics import may, topic
from runtime import crash
from runtime.groups import Group
from runtime.journal import Journal
from runtime.log import Mark, Record

GROUPS = 4096
"""Upper limit of a hub's consumer groups, counted once per group and topic."""

Answer = tuple[c.Reply, list[bytes]]
"""A reply and its payload."""


class Readers:
    """Serves reads of a journal. ``marks`` are the groups' stored progress; ``alive`` returns whether a session still
    exists."""

    def __init__(self, journal: Journal, marks: Iterable[Mark], *, alive: Callable[[bytes], bool]) -> None:
        self._journal = journal
        self._alive = alive
        self._groups = {
            (mark.group, mark.topic): Group(mark.group, mark.topic, committed=mark.committed, above=mark.above)
            for mark in marks
        }
        self._pulling: dict[tuple[str, str], anyio.Lock] = {}
        self.redelivered = 0

    async def fetch(self, role: str, command: c.Fetch) -> Answer:
        """Returns logged messages; if there are none, waits for new ones for ``command.wait`` seconds.

        Raises `Forbidden`, `UnknownTopic`.
        """
        for name in command.topics:
            _check_readable(role, name)
        records: list[Record] = []
        upto = command.after
        with anyio.move_on_after(command.wait or None):
            while True:
                changed = self._journal.changed
                records, upto = await self._journal.read(upto, command.topics, command.limit)
                if records or not command.wait:
                    break
                await changed.wait()
        offsets = tuple(record.offset for record in records)
        return c.Batch(offsets=offsets, next=upto, tail=self._journal.tail), _envelopes(records)

    async def pull(self, role: str, session: bytes, command: c.Pull) -> Answer:
        """Leases messages to this session; if there are none, waits for ``command.wait`` seconds.

        Raises `Forbidden`, `UnknownTopic`, `Busy`.
        """
        _check_readable(role, command.topic)
        group = self._group(command.group, command.topic, command.start)
        lock = self._pulling.setdefault((command.group, command.topic), anyio.Lock())
        with anyio.move_on_after(command.wait or None):
            while True:
                changed = self._journal.changed
                async with lock:
                    again, records = await self._lease(group, session, command.limit)
                if not self._alive(session):  # it ended during the read, so nothing else releases these leases
                    self._returned(group.release(session))
                    break
                ended = command.until is not None and group.ended(command.until)
                if records or ended or not command.wait:
                    self.redelivered += len(again)
                    offsets = tuple(record.offset for record in records)
                    crash.at("lease.after")
                    return c.Leased(offsets=offsets, redelivered=tuple(again), ended=ended), _envelopes(records)
                await changed.wait()
        return c.Leased(offsets=()), []

    async def _lease(self, group: Group, session: bytes, limit: int) -> tuple[list[int], list[Record]]:
        """Leases returned messages, then new ones. Shielded, because a lease without a reply is never released."""
        again: list[int] = []
        records: list[Record] = []
        with anyio.CancelScope(shield=True):
            again += group.lease_returned(session, limit)
            records += await self._journal.at(again, group.topic)
            while len(records) < limit:
                fresh, upto = await self._journal.read(group.cursor, (group.topic,), limit - len(records))
                taken = set(group.lease_new(session, [record.offset for record in fresh], through=upto))
                records += [record for record in fresh if record.offset in taken]
                if records or not fresh:  # else all messages read are acknowledged, and later ones may not be
                    break
        return again, records

    def acknowledge(self, role: str, command: c.Acknowledge) -> Mark:
        """Acknowledges messages of a group and returns the mark to store. Offsets beyond the log's end are ignored.

        Raises `Forbidden`, `UnknownTopic`, `Busy`.
        """
        _check_readable(role, command.topic)
        known = [offset for offset in command.offsets if offset <= self._journal.tail]
        return self._group(command.group, command.topic).acknowledge(known)

    def unwritten(self, mark: Mark) -> None:
        """Keeps a mark that could not be stored for the group's next acknowledgement."""
        self._group(mark.group, mark.topic).unwritten(mark)

    def release(self, session: bytes, command: c.Release) -> None:
        """Ends the leases that a session releases."""
        self._returned(self._group(command.group, command.topic).release(session, command.offsets))

    def drop(self, session: bytes) -> None:
        """Ends all leases of a session."""
        held = [group.release(session) for group in self._groups.values()]  # not in `any`, which stops early
        self._returned(any(held))

    def _returned(self, something: bool) -> None:
        if something:
            self._journal.notify()

    def lag(self) -> dict[str, int]:
        """Returns the number of unacknowledged messages by "group:topic"."""
        return {
            f"{name}:{topic_name}": max(0, self._journal.count(topic_name, group.cursor) - group.ahead)
            + group.outstanding
            for (name, topic_name), group in self._groups.items()
        }

    def _group(self, name: str, topic_name: str, start: int = 0) -> Group:
        group = self._groups.get((name, topic_name))
        if group is None:
            if len(self._groups) >= GROUPS:
                raise Busy(f"there are {GROUPS} groups already: share one, or take another run")
            group = self._groups[name, topic_name] = Group(name, topic_name, committed=start)
        return group


def _check_readable(role: str, name: str) -> None:
    declared = topic(name)
    if not declared.durable:
        raise Forbidden(f"{name} is a live topic: it is not logged; subscribe to the fan-out socket")
    if not may(role, declared.readers):
        raise Forbidden(f"{role} may not read {name}")


def _envelopes(records: list[Record]) -> list[bytes]:
    return [record.envelope for record in records]
