"""The mesh as a process sees it: publish, subscribe, consume, call, serve, and blobs. See `connect`."""

import itertools
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import anyio
import anyio.to_thread
import zmq

from protocols import commands as c
from protocols import limits
from protocols.codec import decoder, encode, seal, unseal
from protocols.codec import digest as digest_of
from protocols.errors import Busy, DecodeError, NotFound, ProtocolError, RemoteError, TooLarge
from protocols.messages import Message
from protocols.topics import CALLS, topic
from runtime import crash, witness
from runtime.blobs import BlobCorrupt, BlobStore
from runtime.endpoints import beside, to_connect
from runtime.handshakes import watch_handshakes
from runtime.keys import Key
from runtime.link import Link, hello_now
from runtime.runfolder import RunFolder
from runtime.sockets import Curve, Socket, background, open_socket
from runtime.storage import when_there_is_room
from runtime.streams import REPLY_SECONDS, Consumption, Delivery, Subscription

log = logging.getLogger("selu.mesh")

CONNECT_SECONDS = 10.0
PUBLISH_SECONDS = 60.0
RETRY_SECONDS = 0.2
"""Pause before a publish that found the hub busy is tried again."""

Start = int | Literal["start", "now"]
Handler = Callable[[Any], Awaitable[Message]]


class Mesh:
    """A connected process. Made by `connect`; every method may be used by many tasks at once."""

    def __init__(
        self, link: Link, *, role: str, instance: str, fanout: str, curve: Curve | None, blobs: BlobStore | None
    ) -> None:
        self._link = link
        self.fanout = fanout
        self._curve = curve
        self._blobs = blobs
        self._sequence = itertools.count(1)
        self._handlers: dict[str, Handler] = {}
        self.role = role
        self.instance = instance
        link.on_work(self._work)

    # -- saying

    async def publish(
        self, topic_name: str, message: Message, *, id: str | None = None, timeout: float = PUBLISH_SECONDS
    ) -> int:
        """Publishes on a durable topic; returns the message's offset once it is on disk.

        The same id twice on one topic is one message, the first. While the hub is down or busy this waits and tries
        again; while its disk is full, for as long as `when_there_is_room` does.

        Raises:
            Forbidden: this role may not write the topic.
            TooLarge, UnknownTopic, DecodeError: the message does not fit the topic.
            Busy, DeadlineExceeded: still so after `timeout` seconds. It may be published later again.
            StorageFull: the disk stayed full.
        """
        id = id or uuid.uuid4().hex
        envelope = self._seal(topic_name, message, id)
        crash.at("publish", topic_name, "before")
        offset = await when_there_is_room(partial(self._publish, envelope, timeout), own=False)
        witness.acknowledged(topic_name, id, offset)
        crash.at("publish", topic_name, "after")
        return offset

    async def _publish(self, envelope: bytes, timeout: float) -> int:
        deadline = anyio.current_time() + timeout
        while True:
            try:
                reply, _ = await self._link.request(
                    c.Publish(), [envelope], timeout=max(0.0, deadline - anyio.current_time())
                )
            except Busy:
                if anyio.current_time() + RETRY_SECONDS > deadline:
                    raise
                await anyio.sleep(RETRY_SECONDS)
            else:
                assert isinstance(reply, c.Published)
                return reply.offsets[0]

    async def emit(self, topic_name: str, message: Message) -> bool:
        """Says something on a live topic; returns whether it left. Live messages may be lost, and never wait."""
        return self._link.send_nowait(c.Emit(), [self._seal(topic_name, message, uuid.uuid4().hex)])

    def _seal(self, topic_name: str, message: Message, id: str) -> bytes:
        return seal(topic_name, message, id=id, producer=self.instance, seq=next(self._sequence))

    # -- reading

    async def tail(self) -> int:
        """The newest offset in the log, 0 when it is empty."""
        reply, _ = await self._link.request(c.Fetch(topics=(), after=0, limit=1), timeout=REPLY_SECONDS)
        assert isinstance(reply, c.Batch)
        return reply.tail

    @asynccontextmanager
    async def subscribe(self, *topics: str, start: Start = "now") -> AsyncGenerator[Subscription]:
        """Every message of durable topics from a place on, past and to come, in the order of the log.

        `start` is "start", "now", or the offset of the first message wanted.
        """
        for name in topics:
            if not topic(name).durable:
                raise DecodeError(f"{name} is a live topic and has no past: use listen({name!r})")
        after = await self._after(start)
        yield Subscription(self._link, topics, after)

    @asynccontextmanager
    async def consume(
        self,
        topic_name: str,
        *,
        group: str,
        start: Start = "start",
        max_in_flight: int = 32,
        until: int | None = None,
    ) -> AsyncGenerator[Consumption]:
        """This process's share of a topic's messages within a consumer group.

        Each message goes to one member, and to another if that one ends without acknowledging it. `start` counts only
        for a group that is new. With `until`, the iterator ends when the group is done with everything up to there.
        """
        topic(topic_name)
        consumption = Consumption(self._link, topic_name, group, await self._after(start), max_in_flight, until)
        try:
            yield consumption
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await consumption.release()

    async def _after(self, start: Start) -> int:
        if isinstance(start, int):
            return max(0, start - 1)
        return 0 if start == "start" else await self.tail()

    @asynccontextmanager
    async def listen(self, *topics: str) -> AsyncGenerator["Listener"]:
        """Live topics as they are said, from now on; what comes while nobody reads may be lost."""
        for name in topics:
            topic(name)
        prefixes = [name.encode() for name in topics]
        async with open_socket(zmq.SUB, connect=self.fanout, subscribe=prefixes, curve=self._curve) as socket:
            yield Listener(socket)

    # -- calling

    async def call(self, method: str, request: Message, *, timeout: float) -> Any:
        """Asks whoever serves `method`, and returns the reply.

        Raises:
            Unavailable: nobody served it in time.
            DeadlineExceeded: somebody did and gave no answer.
            Busy: too many are waiting already.
            RemoteError: the serving process answered with an error.
        """
        _, reply_type = _call(method)
        command = c.Call(method=method, timeout=timeout)
        _, payload = await self._link.request(command, [encode(request)], timeout=timeout + 5)
        return _PARSERS[reply_type](payload[0] if payload else b"")

    async def serve(self, method: str, handler: Handler, *, capacity: int) -> None:
        """Answers calls of `method` with `handler`, at most `capacity` at a time, until cancelled.

        A `ProtocolError` the handler raises reaches the caller as it is; any other as `RemoteError`.
        """
        _call(method)
        self._handlers[method] = handler
        await self._link.serve(method, capacity, timeout=REPLY_SECONDS)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._link.serve(method, 0, timeout=1)

    async def _work(self, work: c.Work, payload: list[bytes]) -> None:
        result = c.Result(call=work.call, error="deadline", text=f"{work.method} took too long")
        body: list[bytes] = []
        with anyio.move_on_after(work.timeout):
            try:
                crash.at("answer", work.method, "before")
                request = _PARSERS[_call(work.method)[0]](payload[0] if payload else b"")
                reply = await self._handlers[work.method](request)
                crash.at("answer", work.method, "after")
                result, body = c.Result(call=work.call), [encode(reply)]
            except ProtocolError as error:
                result = c.Result(call=work.call, error=error.code, text=str(error))
            except Exception as error:
                log.exception("%s failed", work.method)
                text = f"{self.instance}: {type(error).__name__}: {error}"
                result = c.Result(call=work.call, error=RemoteError.code, text=text[: limits.TEXT_CHARS])
        await self._link.send(result, body)

    # -- blobs

    async def put_blob(self, data: bytes) -> str:
        """Stores bytes under their sha256, and returns it once they are on disk; waits for space as `publish` does.

        Raises `TooLarge`, `StorageFull`, `StorageFailed`.
        """
        return await when_there_is_room(partial(self._put_blob, data), own=self._blobs is not None)

    async def _put_blob(self, data: bytes) -> str:
        if self._blobs is not None:
            return await anyio.to_thread.run_sync(self._blobs.put, data)
        digest = digest_of(data)
        for at in range(0, max(len(data), 1), limits.CHUNK_BYTES):
            command = c.PutBlob(digest=digest, size=len(data), at=at)
            await self._link.request(command, [data[at : at + limits.CHUNK_BYTES]], timeout=REPLY_SECONDS)
        return digest

    async def get_blob(self, digest: str) -> bytes:
        """The bytes of that name, checked. Raises `NotFound`, `TooLarge`, or `BlobCorrupt` if they were damaged."""
        if self._blobs is not None:
            return await anyio.to_thread.run_sync(self._blobs.get, digest)
        data = bytearray()
        while True:
            reply, payload = await self._link.request(c.GetBlob(digest=digest, at=len(data)), timeout=REPLY_SECONDS)
            assert isinstance(reply, c.Piece)
            if reply.size > limits.BLOB_BYTES:
                raise TooLarge(f"blob {digest} has {reply.size} bytes; the limit is {limits.BLOB_BYTES}")
            data += payload[0]
            if len(data) >= reply.size or not payload[0]:
                break
        whole = bytes(data)
        if digest_of(whole) != digest:
            raise BlobCorrupt(f"blob {digest} arrived damaged")
        return whole

    async def status(self, *, timeout: float = REPLY_SECONDS) -> c.Report:
        """How the hub is: lag per group, sessions, calls, counts. Raises `DeadlineExceeded` where there is none."""
        reply, _ = await self._link.request(c.Status(), timeout=timeout)
        assert isinstance(reply, c.Report)
        return reply


class Listener:
    """An endless iterator over live messages."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> Delivery:
        while True:
            frames = await self._socket.receive()
            try:
                e = unseal(frames[1])
            except (ProtocolError, IndexError) as error:
                log.warning("ignored a live message that cannot be read: %s", error)
                continue
            return Delivery(e.topic, 0, e.id, e.producer, e.time, e.body)


_PARSERS = {kind: decoder(kind) for pair in CALLS.values() for kind in pair}


def _call(method: str) -> tuple[type[Message], type[Message]]:
    try:
        return CALLS[method]
    except KeyError:
        raise NotFound(f"unknown call {method!r}; the calls are {', '.join(CALLS)}") from None


@asynccontextmanager
async def connect(
    endpoint: str,
    *,
    role: str,
    instance: str,
    run: RunFolder | None = None,
    key: Key | None = None,
    timeout: float = CONNECT_SECONDS,
) -> AsyncGenerator[Mesh]:
    """Joins the mesh at the hub's endpoint.

    `role` decides what may be read and written, `instance` names this process. Of two processes with the same key and
    name the newer one stays, and whatever the older one asks for raises `Replaced`; observers without a key may share
    a name. Whoever is more than an observer needs
    a `key`: it is for one role, and for its own name or that with a suffix ("anna", "anna/2"). `run` is the run's
    folder where it can be reached as files; without it blobs travel through the hub.

    Raises:
        EndpointError: the endpoint is none that can be connected to.
        DeadlineExceeded: no hub answered within `timeout` seconds.
        NotAdmitted: the hub does not let this key in, or not in this role and name.
    """
    endpoint = to_connect(endpoint)
    hello = hello_now(role, instance, ticket=key.ticket if key else "")
    curve = Curve(key.public, key.secret, key.hub) if key and key.public else None
    async with open_socket(zmq.DEALER, curve=curve) as socket, background() as tasks:
        link = Link(socket, endpoint, hello)
        if endpoint.startswith("tcp://"):  # before the first handshake, which may be the only one
            await tasks.start(watch_handshakes, socket, link, curve is not None)
        socket.connect(endpoint)
        tasks.start_soon(link.run)
        welcome = await link.ready(timeout)
        store = BlobStore(run.blobs) if run is not None else None
        fanout = beside(endpoint, welcome.fanout)
        yield Mesh(link, role=role, instance=instance, fanout=fanout, curve=curve, blobs=store)
