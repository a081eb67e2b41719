"""Call routing as pure state: which session answers which call, and what happens when one of them dies.

Decisions are returned as `Assigned`, and the hub sends them. A call goes to the serving session with the most free
capacity; when that session dies it goes to another, at most `ATTEMPTS` times.
"""

from collections import deque
from contextlib import suppress

import msgspec

from protocols.errors import Busy

QUEUE = 4096
"""Calls waiting for one method before callers are told `Busy`."""
ATTEMPTS = 3
"""Sessions a call may lose before it is given up: a call that kills its server must not kill them all."""


class Waiting(msgspec.Struct):
    """A call on its way. ``caller`` and ``number`` are where the answer goes; ``deadline`` is the hub's clock."""

    id: int
    caller: bytes
    number: int
    method: str
    body: bytes
    deadline: float
    server: bytes | None = None
    attempts: int = 0


class Assigned(msgspec.Struct, frozen=True):
    session: bytes
    call: Waiting


class Calls:
    """All calls of a hub. Methods return what must be sent now."""

    def __init__(self) -> None:
        self._capacity: dict[str, dict[bytes, int]] = {}
        self._running: dict[int, Waiting] = {}
        self._load: dict[tuple[str, bytes], int] = {}
        self._queues: dict[str, deque[Waiting]] = {}
        self._numbers: dict[tuple[bytes, int], int] = {}
        self._last = 0

    def serve(self, session: bytes, method: str, capacity: int) -> list[Assigned]:
        servers = self._capacity.setdefault(method, {})
        if capacity:
            servers[session] = capacity
        else:
            servers.pop(session, None)
        return self._assign(method)

    def submit(self, caller: bytes, number: int, method: str, body: bytes, deadline: float) -> list[Assigned]:
        """Takes a call. The same caller's same number again is the same call: it is not run twice.

        Raises:
            Busy: `QUEUE` calls of the method are waiting already.
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
        """A session answered. Returns the call it answered (``None`` if it is no longer its to answer)."""
        waiting = self._running.get(call)
        if waiting is None or waiting.server != session:
            return None, []
        self._forget(waiting)
        return waiting, self._assign(waiting.method)

    def drop(self, session: bytes) -> tuple[list[Assigned], list[Waiting]]:
        """A session is gone, as caller and as server. Returns its calls sent elsewhere, and those given up."""
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
        """Calls whose deadline has passed, and those that take their place. A late answer goes nowhere."""
        late = [waiting for waiting in (*self._running.values(), *self._waiting()) if waiting.deadline <= now]
        for waiting in late:
            self._forget(waiting)
        return late, [item for method in {waiting.method for waiting in late} for item in self._assign(method)]

    def serving(self) -> dict[str, dict[bytes, int]]:
        """Calls running, by method and session."""
        return {
            method: {session: self._load.get((method, session), 0) for session in servers}
            for method, servers in self._capacity.items()
        }

    def waiting(self) -> int:
        """Calls that no session has taken yet."""
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
            with suppress(ValueError):  # taken from its queue and given up
                self._queues[waiting.method].remove(waiting)
        self._numbers.pop((waiting.caller, waiting.number), None)
