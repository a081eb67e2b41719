"""The hub: the process that binds the mesh's sockets. It logs messages, serves reads, routes calls and fans out.

`serve_hub` reads all requests in order from one ROUTER socket. A write is answered when its commit is on disk. A
request that may wait for anything else, such as a long poll, runs in a task of its own and delays no other request.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from protocols import commands as c
from protocols import limits
from protocols.errors import (
    Busy,
    DeadlineExceeded,
    NotFound,
    ProtocolError,
    Replaced,
    StorageFull,
    Unavailable,
)
from runtime.access import permit
from runtime.alarm import StorageAlarm
from runtime.blobs import BlobStore
from runtime.calls import Assigned, Calls, Waiting
from runtime.doors import Doors, keep_reachable, open_doors
from runtime.journal import Commit, Journal, Write
from runtime.keys import Key
from runtime.log import Log
from runtime.readers import Readers
from runtime.refusals import MALFORMED, Refusals
from runtime.sessions import Session, Sessions
from runtime.sockets import background
from runtime.storage import when_there_is_room
from runtime.uploads import Uploads
from runtime.writers import Writers, fan_out

REQUESTS = 1024
"""Requests of one session in progress at once; further ones are refused with `Busy`."""
END_SECONDS = 2.0
"""Time limit for the writes in `Hub.end`."""
TICK_SECONDS = 0.1
"""Interval between checks of sessions and deadlines."""
LATE_TICKS = 100
"""Number of recent ticks (about ten seconds) whose largest delay is reported as the event loop's lag."""

log = logging.getLogger("selu.hub")


class HubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a hub. A session that sends nothing for ``session_seconds`` ends.

    ``allowed`` are the files that list the admitted keys (see `runtime.keys`). Without any, the hub trusts the role and
    name that each client gives. ``key`` is the hub's own CURVE key: with it the sockets are encrypted, and only listed
    keys connect. An endpoint that other machines can reach needs both.
    """

    endpoint: str
    fanout: str
    log_file: Path
    blobs: Path
    allowed: tuple[Path, ...] = ()
    key: Key | None = None
    session_seconds: float = 5.0
    ping_seconds: float = 0.5
    where: Callable[[], tuple[str, str]] | None = None
    """Returns the endpoints at which ROUTER and PUB are bound again if their files vanish; by default the same ones."""


class Hub:
    """State and handlers of a running hub. Use `serve_hub`."""

    def __init__(self, settings: HubSettings, doors: Doors, journal: Journal, records: Log) -> None:
        self._settings = settings
        self._router = doors.router
        self._fanout = doors.fanout
        self._journal = journal
        self._alarm = StorageAlarm(journal, self._fanout)
        self._blobs = BlobStore(settings.blobs)
        self._uploads = Uploads(self._blobs)
        self._counts = doors.counts
        self._epoch = uuid.uuid4().hex
        self._refusals = Refusals(journal, self._counts, self._epoch)
        self._sessions = Sessions(doors, self._refusals, silence=settings.session_seconds, ended=self._forget)
        self._writers = Writers(journal, self._fanout, self._counts, self._refusals)
        self._readers = Readers(journal, records.marks(), alive=self._sessions.__contains__)
        self._calls = Calls()
        self._late: deque[float] = deque([0.0], maxlen=LATE_TICKS)

    @property
    def address(self) -> str:
        """The bound ROUTER endpoint; if the given port was 0, with the port that the system chose."""
        return self._router.address

    # -- loops

    async def read_requests(self, tasks: anyio.abc.TaskGroup) -> None:
        """Reads and dispatches requests in order, until cancelled."""
        while True:
            public, (key, *frames) = await self._router.receive_signed()
            try:
                number, body, payload = c.split(frames)
                command = c.parse_request(body)
            except ProtocolError as error:
                number = int.from_bytes(frames[1], "big") if len(frames) > 1 and len(frames[1]) == 8 else 0
                self._sessions.refuse(self._sessions.name(key), key, number, error, frames, count=MALFORMED)
                continue
            if isinstance(command, c.Hello):
                self._welcome(key, number, command, public)
                continue
            session = self._sessions.heard(key, public)
            if session is None:
                self._sessions.send_away(key, number)
                continue
            try:
                permit(session.role, command)
            except ProtocolError as error:
                self._refuse(session, number, error)
                continue
            match command:
                case c.Ping():
                    self._sessions.reply(key, number, c.Pong(epoch=self._epoch))
                case c.Emit():
                    self._writers.emit(session.role, session.instance, payload)
                case c.Result():
                    self._result(session, command, payload)
                case c.Publish():
                    await self._publish(session, number, payload)
                case c.Acknowledge():
                    await self._acknowledge(session, number, command)
                case _ if session.requests >= REQUESTS:
                    self._refuse(session, number, Busy(f"{REQUESTS} requests of {session.instance} are under way"))
                case _:
                    session.requests += 1
                    tasks.start_soon(self._answer, session, number, command, payload)

    async def watch(self) -> None:
        """Ends silent sessions and expired calls, and runs the other periodic checks, until cancelled."""
        now = time.monotonic()
        while True:
            before = now
            await anyio.sleep(TICK_SECONDS)
            now = time.monotonic()
            late = max(0.0, now - before - TICK_SECONDS)
            self._late.append(late)
            await self._alarm.look()
            await self._refusals.look()
            if self._sessions.look(now, late) and self._settings.key is not None:
                self._fanout.reopen()  # disconnects the subscribers that hold revoked keys
            expired, assigned = self._calls.expire(now)
            self._send_work(assigned)
            for waiting in expired:
                if waiting.attempts:
                    self._give_up(waiting, DeadlineExceeded(f"no answer to {waiting.method!r} in time"))
                else:
                    self._give_up(waiting, Unavailable(f"nobody serves {waiting.method!r}"))

    async def end(self) -> None:
        """Publishes a finished disk-full period that is not yet recorded. Called before the hub ends."""
        await self._alarm.end()

    # -- sessions

    def _welcome(self, key: bytes, number: int, hello: c.Hello, public: str | None) -> None:
        try:
            self._sessions.admit(key, hello, public)
        except Replaced:
            self._sessions.send_away(key, number)
            return
        except ProtocolError as error:
            self._sessions.refuse(hello.instance, key, number, error)
            return
        ping_seconds, fanout = self._settings.ping_seconds, self._fanout.address
        welcome = c.Welcome(epoch=self._epoch, ping_seconds=ping_seconds, fanout=fanout)
        self._sessions.reply(key, number, welcome)

    def _forget(self, session: Session) -> None:
        """Releases the leases, uploads and calls of a session that ended."""
        self._readers.drop(session.key)
        self._uploads.drop(session.key)
        assigned, given_up = self._calls.drop(session.key)
        self._send_work(assigned)
        for waiting in given_up:
            self._give_up(waiting, Unavailable(f"{waiting.method!r} lost {waiting.attempts} servers over this"))

    def _refuse(self, session: Session, number: int, error: ProtocolError, data: Sequence[bytes] = ()) -> None:
        self._sessions.refuse(session.instance, session.key, number, error, data)

    # -- requests

    async def _answer(self, session: Session, number: int, command: c.Command, payload: list[bytes]) -> None:
        try:
            match command:
                case c.Fetch():
                    reply, out = await self._readers.fetch(session.role, command)
                case c.Pull():
                    reply, out = await self._readers.pull(session.role, session.key, command)
                case c.Release():
                    self._readers.release(session.key, command)
                    reply, out = c.Done(), []
                case c.Serve():
                    self._send_work(self._calls.serve(session.key, command.method, command.capacity))
                    reply, out = c.Done(), []
                case c.Call():
                    deadline = time.monotonic() + command.timeout
                    body = payload[0] if payload else b""
                    self._send_work(self._calls.submit(session.key, number, command.method, body, deadline))
                    return
                case c.PutBlob():
                    await self._uploads.put(session.key, command, payload[0] if payload else b"")
                    reply, out = c.Done(), []
                case c.GetBlob():
                    find = partial(self._blobs.piece, command.digest, command.at, limits.CHUNK_BYTES)
                    size, piece = await anyio.to_thread.run_sync(find)
                    reply, out = c.Piece(size=size), [piece]
                case c.Status():
                    reply, out = self._report(), []
                case _:
                    raise NotFound(f"the hub has no command {type(command).__name__}")
            self._sessions.reply(session.key, number, reply, out)
        except ProtocolError as error:
            self._refuse(session, number, error)
        finally:
            session.requests -= 1

    async def _publish(self, session: Session, number: int, payload: list[bytes]) -> None:
        def then(results: list[tuple[int, bool]] | StorageFull) -> None:
            if isinstance(results, StorageFull):
                self._refuse(session, number, results)
            else:
                self._sessions.reply(session.key, number, c.Published(offsets=tuple(offset for offset, _ in results)))

        try:
            await self._writers.publish(session.role, session.instance, payload, then)
        except ProtocolError as error:
            self._refuse(session, number, error, payload)

    async def _acknowledge(self, session: Session, number: int, command: c.Acknowledge) -> None:
        try:
            mark = self._readers.acknowledge(session.role, command)
        except ProtocolError as error:
            self._refuse(session, number, error)
            return

        def then(results: list[tuple[int, bool]] | StorageFull) -> None:
            if isinstance(results, StorageFull):
                self._readers.unwritten(mark)
                self._refuse(session, number, results)
                return
            self._counts["acknowledged"] += len(command.offsets)
            self._sessions.reply(session.key, number, c.Done())

        await self._journal.write(Write((), mark, then))

    # -- calls

    def _send_work(self, assigned: list[Assigned]) -> None:
        for item in assigned:
            left = max(0.001, item.call.deadline - time.monotonic())
            self._sessions.reply(
                item.session, 0, c.Work(call=item.call.id, method=item.call.method, timeout=left), [item.call.body]
            )

    def _result(self, session: Session, result: c.Result, payload: list[bytes]) -> None:
        waiting, assigned = self._calls.finish(session.key, result.call)
        self._send_work(assigned)
        if waiting is None:
            self._counts["answers_late"] += 1
            return
        self._counts["calls_answered"] += 1
        if result.error is not None:
            self._sessions.reply(waiting.caller, waiting.number, c.Refused(code=result.error, text=result.text))
        else:
            self._sessions.reply(waiting.caller, waiting.number, c.Answered(), payload[:1])

    def _give_up(self, waiting: Waiting, error: ProtocolError) -> None:
        self._counts["calls_given_up"] += 1
        self._sessions.reply(waiting.caller, waiting.number, c.Refused(code=error.code, text=str(error)))

    def _report(self) -> c.Report:
        serving = {
            method: {self._sessions.name(key): load for key, load in servers.items()}
            for method, servers in self._calls.serving().items()
        }
        return c.Report(
            tail=self._journal.tail,
            lag=self._readers.lag(),
            sessions={session.instance: session.role for session in self._sessions.all},
            serving=serving,
            counts={**self._counts, "redelivered": self._readers.redelivered, "commits": self._journal.commits},
            gauges={
                "loop_lag_seconds": max(self._late),
                "writes_waiting": self._journal.waiting,
                "calls_waiting": self._calls.waiting(),
                "requests_open": sum(session.requests for session in self._sessions.all),
            },
        )


async def _open(log_file: Path) -> Log:
    return Log(log_file)


@asynccontextmanager
async def serve_hub(settings: HubSettings) -> AsyncGenerator[Hub]:
    """Runs a hub until the context exits.

    Raises:
        OSError: an endpoint is in use.
        SettingsError: other machines can reach an endpoint, and there are no keys.
        LogFormatError: the log file has another format or is damaged.
        LogUnavailable: the log file cannot be opened for a reason other than its content or a full disk.
        StorageFull: the disk stayed full for `runtime.storage.STORAGE_SECONDS`.
    """
    records = await when_there_is_room(partial(_open, settings.log_file))
    try:
        async with (
            open_doors(settings.endpoint, settings.fanout, allowed=settings.allowed, key=settings.key) as doors,
            background() as tasks,
        ):
            journal = Journal(records)
            hub = Hub(settings, doors, journal, records)
            commits, committed = anyio.create_memory_object_stream[Commit](64)
            await tasks.start(journal.run, commits)
            tasks.start_soon(fan_out, committed, doors.fanout)
            tasks.start_soon(hub.watch)
            tasks.start_soon(keep_reachable, doors, settings.where or (lambda: (settings.endpoint, settings.fanout)))
            tasks.start_soon(hub.read_requests, tasks)
            try:
                yield hub
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(END_SECONDS):
                    await hub.end()
    finally:
        records.close()
