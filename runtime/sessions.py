"""The hub's sessions: admission, timeouts and replies."""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
import zmq

from protocols import commands as c
from protocols.errors import Busy, ProtocolError, Replaced
from protocols.topics import OBSERVER
from runtime.access import Access
from runtime.doors import Doors
from runtime.keys import curve_proof
from runtime.refusals import Refusals

REPLACED = 1024
"""Replaced connections that are remembered and refused with `Replaced`. Older ones may send a hello again."""
SESSIONS = 1024
"""Sessions of one key, or of all clients without a key; further ones are refused with `Busy`."""
STRANGER = "a stranger"
"""The name in log messages of a connection that has sent no hello."""

log = logging.getLogger("selu.hub")


class Session(msgspec.Struct):
    """A connected client. ``key`` is its ROUTER identity; ``proof`` identifies its key, empty for a client without one.

    ``heard`` is the time of its last request (`time.monotonic`), ``requests`` the number of requests in progress.
    ``began`` and ``boot`` come from its hello.
    """

    key: bytes
    role: str
    instance: str
    heard: float
    proof: str
    began: int = 0
    boot: str = ""
    requests: int = 0

    def began_after(self, hello: c.Hello) -> bool:
        """Returns whether this client provably started after the one that sent ``hello``: both on the same boot."""
        return bool(hello.boot) and self.boot == hello.boot and self.began > hello.began


class Sessions:
    """All sessions by connection. `ended` is called with each session that ends, for any reason."""

    def __init__(self, doors: Doors, refusals: Refusals, *, silence: float, ended: Callable[[Session], None]) -> None:
        self._router = doors.router
        self._access: Access = doors.access
        self._counts = doors.counts
        self._refusals = refusals
        self._silence = silence
        self._ended = ended
        self._sessions: dict[bytes, Session] = {}
        self._replaced: dict[bytes, str] = {}  # instance by connection, the oldest first

    def __contains__(self, key: bytes) -> bool:
        return key in self._sessions

    @property
    def all(self) -> list[Session]:
        """All current sessions."""
        return list(self._sessions.values())

    def name(self, key: bytes) -> str:
        """Returns the instance name of a connection, for log messages."""
        return self._sessions[key].instance if key in self._sessions else STRANGER

    def heard(self, key: bytes, public: str | None) -> Session | None:
        """Returns the session of a received request and resets its timeout.

        Returns None if the connection must send a hello first: it has no session, or its session has another key.
        """
        session = self._sessions.get(key)
        if session is None or (public is not None and session.proof != curve_proof(public)):
            self._counts[c.UNKNOWN_SESSION] += 1
            return None
        session.heard = time.monotonic()
        return session

    # -- beginning and end

    def admit(self, key: bytes, hello: c.Hello, public: str | None) -> None:
        """Starts a session and ends an older one of the same instance, whose requests then get `Replaced`.

        Observers without a key do not replace each other, because nothing proves their names. A hello can arrive after
        that of a client that started later: ZeroMQ may send it after its process has ended, or the network delays it.

        Raises:
            NotAdmitted: the key is unknown, or is for another role or name.
            Replaced: the instance already has a session of a client that started later.
            Busy: there are already `SESSIONS` sessions with the same key, or without one.
        """
        proof = self._access.admit(hello, public)
        if sum(s.proof == proof and s.key != key for s in self._sessions.values()) >= SESSIONS:
            raise Busy(f"there are {SESSIONS} sessions like {hello.instance}'s already")
        if proof or hello.role != OBSERVER:
            others = [s for s in self.all if s.instance == hello.instance and s.key != key]
            if any(other.began_after(hello) for other in others):
                self._replace(key, hello.instance)
                raise Replaced(f"a client that began later has joined as {hello.instance}")
            for other in others:
                self._drop(other, "was replaced")
                self._replace(other.key, other.instance)
        self._replaced.pop(key, None)
        self._sessions[key] = Session(
            key, hello.role, hello.instance, time.monotonic(), proof, began=hello.began, boot=hello.boot
        )
        log.info("%s (%s) joined", hello.instance, hello.role)

    def look(self, now: float, late: float) -> bool:
        """Ends silent sessions and sessions of revoked keys; returns whether any key was revoked.

        ``late`` is the event loop's delay in seconds, which does not count as silence of the clients.
        """
        revoked = self._access.revoked()
        for session in self.all:
            session.heard += late
            if session.proof in revoked:
                self._drop(session, "has a key that was revoked")
            elif now - session.heard > self._silence:
                self._drop(session, "fell silent")
        return bool(revoked)

    def _replace(self, key: bytes, instance: str) -> None:
        self._replaced[key] = instance
        while len(self._replaced) > REPLACED:
            del self._replaced[next(iter(self._replaced))]

    def _drop(self, session: Session, why: str) -> None:
        if self._sessions.pop(session.key, None) is not None:
            log.info("%s %s", session.instance, why)
            self._ended(session)

    # -- replies

    def reply(self, key: bytes, number: int, reply: c.Reply, payload: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        """Answers a request; returns whether the reply was queued. It is dropped if the connection's queue is full."""
        try:
            sent = self._router.send_nowait([key, *c.pack(number, reply, payload)])
        except zmq.ZMQError:  # the peer has disconnected; its session ends by timeout or by a new hello
            sent = False
        self._counts["replies" if sent else "replies_dropped"] += 1
        return sent

    def send_away(self, key: bytes, number: int) -> None:
        """Answers a connection without a session: it must send a hello, or, if it was replaced, end."""
        if (instance := self._replaced.get(key)) is None:
            self.reply(key, number, c.Refused(code=c.UNKNOWN_SESSION, text="say hello first"))
        else:
            text = f"another process has joined as {instance} with the same key: give each a name of its own"
            self.reply(key, number, c.Refused(code=Replaced.code, text=text))

    def refuse(
        self, who: str, key: bytes, number: int, error: ProtocolError, data: Sequence[bytes] = (), *, count: str = ""
    ) -> None:
        """Answers a request with an error, which is counted and recorded by `Refusals.note`."""
        self._refusals.note(who, error, data, count=count)
        self.reply(key, number, c.Refused(code=error.code, text=str(error)))
