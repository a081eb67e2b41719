"""Call routing as pure state: assigns calls to serving sessions, and reassigns them when a session ends.

Methods return the assignments, and the hub sends them. A call goes to the serving session with the most free capacity.
If that session ends, the call goes to another one; at most `ATTEMPTS` sessions get it.
"""

from collections import deque
from contextlib import suppress

import msgspec

from protocols.errors import Busy

QUEUE = 4096
"""Queued calls of one method; further ones are refused with `Busy`."""
ATTEMPTS = 3
"""Sessions that may end during one call before it fails: a call that crashes its server must not crash them all."""


class Waiting(msgspec.Struct):
    """An unanswered call. The answer goes to ``caller`` under ``number``. ``deadline`` is in the hub's monotonic time;
    ``attempts`` counts the sessions that got the call."""

    id: int
    caller: bytes
    number: int
    method: str
    body: bytes
    deadline: float
    server: bytes | None = None
    attempts: int = 0


class Assigned(msgspec.Struct, frozen=True):
    """A call and the session to send it to."""

    session: bytes
    call: Waiting


class Calls:
    """All calls of a hub. Methods return the calls to send now."""

    def __init__(self) -> None:
        self._capacity: dict[str, dict[bytes, int]] = {}
        self._running: dict[int, Waiting] = {}
        self._load: dict[tuple[str, bytes], int] = {}
        self._queues: dict[str, deque[Waiting]] = {}
        self._numbers: dict[tuple[bytes, int], int] = {}
        self._last = 0

    def serve(self, session: bytes, method: str, capacity: int) -> list[Assigned]:
        """Sets a session's capacity for a method; 0 removes the session. Returns new assignments."""
        servers = self._capacity.setdefault(method, {})
        if capacity:
            servers[session] = capacity
        else:
            servers.pop(session, None)
        return self._assign(method)

    def submit(self, caller: bytes, number: int, method: str, body: bytes, deadline: float) -> list[Assigned]:
        """Queues a call. A repeated number from the same caller is a retry of the same call and is ignored.

        Raises:
            Busy: the method already has `QUEUE` queued calls.
        """
        if (caller, number) in self._numbers:
            return []
        queue = self._queues.setdefault(method, deque())
        if len(queue) >= QUEUE:
            raise Busy(f"{QUEUE} calls of {method!r} are waiting already: call less at a time, or add an instance")
        self._last += 1
        self._numbers[caller, number] = self._last
        queue.append(Waiting(id=self._last, caller=caller, number=number, method=method, body=body, deadline=deadline))
        return self._assign(method)

    def finish(self, session: bytes, call: int) -> tuple[Waiting | None, list[Assigned]]:
        """Ends a call that a session answered. Returns the call, or ``None`` if it is no longer assigned to it."""
        waiting = self._running.get(call)
        if waiting is None or waiting.server != session:
            return None, []
        self._forget(waiting)
        return waiting, self._assign(waiting.method)

    def drop(self, session: bytes) -> tuple[list[Assigned], list[Waiting]]:
        """Removes an ended session as caller and as server. Returns new assignments and the calls that failed."""
        methods = [method for method, servers in self._capacity.items() if servers.pop(session, None)]
        lost = [waiting for waiting in self._running.values() if waiting.server == session]
        for waiting in [w for w in (*self._running.values(), *self._waiting()) if w.caller == session]:
            self._forget(waiting)
        given_up: list[Waiting] = []
        for waiting in sorted(lost, key=lambda w: w.id, reverse=True):
            if waiting.caller == session:
                continue
            self._unassign(waiting)
            if waiting.attempts >= ATTEMPTS:
                self._forget(waiting)
                given_up.append(waiting)
            else:
                self._queues[waiting.method].appendleft(waiting)
        assigned = [item for method in {*methods, *(w.method for w in lost)} for item in self._assign(method)]
        return assigned, given_up

    def expire(self, now: float) -> tuple[list[Waiting], list[Assigned]]:
        """Removes calls whose deadline has passed. Returns them and new assignments. Later answers are ignored."""
        late = [waiting for waiting in (*self._running.values(), *self._waiting()) if waiting.deadline <= now]
        for waiting in late:
            self._forget(waiting)
        return late, [item for method in {waiting.method for waiting in late} for item in self._assign(method)]

    def serving(self) -> dict[str, dict[bytes, int]]:
        """Returns the number of running calls by method and session."""
        return {
            method: {session: self._load.get((method, session), 0) for session in servers}
            for method, servers in self._capacity.items()
        }

    def waiting(self) -> int:
        """Returns the number of calls that are assigned to no session."""
        return sum(map(len, self._queues.values()))

    def _waiting(self) -> list[Waiting]:
        return [waiting for queue in self._queues.values() for waiting in queue]

    def _assign(self, method: str) -> list[Assigned]:
        queue, servers = self._queues.get(method), self._capacity.get(method)
        assigned: list[Assigned] = []
        while queue and servers:
            session = max(servers, key=lambda s: servers[s] - self._load.get((method, s), 0))
            if self._load.get((method, session), 0) >= servers[session]:
                break
            waiting = queue.popleft()
            waiting.server = session
            waiting.attempts += 1
            self._running[waiting.id] = waiting
            self._load[method, session] = self._load.get((method, session), 0) + 1
            assigned.append(Assigned(session, waiting))
        return assigned

    def _unassign(self, waiting: Waiting) -> None:
        del self._running[waiting.id]
        assert waiting.server is not None
        key = (waiting.method, waiting.server)
        self._load[key] -= 1
        if not self._load[key]:
            del self._load[key]
        waiting.server = None

    def _forget(self, waiting: Waiting) -> None:
        if waiting.id in self._running:
            self._unassign(waiting)
        else:
            with suppress(ValueError):  # it was already taken from its queue
                self._queues[waiting.method].remove(waiting)
        self._numbers.pop((waiting.caller, waiting.number), None)
