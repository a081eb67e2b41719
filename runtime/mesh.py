"""The mesh client: publish, subscribe, consume, listen, call, serve and blobs. `connect` makes one."""

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
"""Pause before a publish is retried that the hub refused with `Busy`."""

Start = int | Literal["start", "now"]
Handler = Callable[[Any], Awaitable[Message]]


class Mesh:
    """A client of the hub, made by `connect`. Any number of tasks may call its methods at the same time."""

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

    # -- publishing

    async def publish(
        self, topic_name: str, message: Message, *, id: str | None = None, timeout: float = PUBLISH_SECONDS
    ) -> int:
        """Publishes on a durable topic; returns the message's offset once it is on disk.

        A second message with the same id on the same topic is ignored, and the first one's offset is returned. Retries
        while the hub is down or busy, up to `timeout` seconds, and while its disk is full, up to
        `runtime.storage.STORAGE_SECONDS`.

        Raises:
            Forbidden: this role may not write the topic.
            TooLarge, UnknownTopic, DecodeError: the message does not fit the topic.
            Busy, DeadlineExceeded: the hub was busy or away for `timeout` seconds. It is safe to publish again.
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
        """Sends a message on a live topic without waiting; returns whether it was sent. It may still be lost."""
        return self._link.send_nowait(c.Emit(), [self._seal(topic_name, message, uuid.uuid4().hex)])

    def _seal(self, topic_name: str, message: Message, id: str) -> bytes:
        return seal(topic_name, message, id=id, producer=self.instance, seq=next(self._sequence))

    # -- reading

    async def tail(self) -> int:
        """Returns the newest offset in the log, 0 if the log is empty."""
        reply, _ = await self._link.request(c.Fetch(topics=(), after=0, limit=1), timeout=REPLY_SECONDS)
        assert isinstance(reply, c.Batch)
        return reply.tail

    @asynccontextmanager
    async def subscribe(self, *topics: str, start: Start = "now") -> AsyncGenerator[Subscription]:
        """Yields an iterator over all messages of durable topics, logged and future ones, in the order of the log.

        `start` is "start", "now", or the offset of the first message to return.

        Raises:
            DecodeError: a topic is live.
            UnknownTopic: a topic is not declared.
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
        """Yields an iterator over the messages of a topic that the hub leases to this member of a consumer group.

        Each message goes to one member, and to another one if that member ends before it acknowledges the message.
        `start` applies only to a new group. With `until`, the iterator ends when the group has acknowledged all
        messages up to that offset.
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
        """Yields an iterator over the messages that are fanned out on these topics from now on. A slow reader loses
        messages."""
        for name in topics:
            topic(name)
        prefixes = [name.encode() for name in topics]
        async with open_socket(zmq.SUB, connect=self.fanout, subscribe=prefixes, curve=self._curve) as socket:
            yield Listener(socket)

    # -- calling

    async def call(self, method: str, request: Message, *, timeout: float) -> Any:
        """Sends a request to a process that serves `method`, and returns its reply.

        Raises:
            NotFound: the method is not declared.
            Unavailable: no process took the call within `timeout` seconds, or each one that took it ended.
            DeadlineExceeded: a process took the call and did not answer in time.
            Busy: the hub's queue for this method is full.
            RemoteError: the handler failed.
            ProtocolError: the handler raised it.
        """
        _, reply_type = _call(method)
        command = c.Call(method=method, timeout=timeout)
        _, payload = await self._link.request(command, [encode(request)], timeout=timeout + 5)
        return _PARSERS[reply_type](payload[0] if payload else b"")

    async def serve(self, method: str, handler: Handler, *, capacity: int) -> None:
        """Answers calls of `method` with `handler`, at most `capacity` at a time, until cancelled.

        A `ProtocolError` from the handler is raised in the caller unchanged; any other exception becomes `RemoteError`.
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
        """Stores bytes; returns their sha256 once they are on disk. Retries while the disk is full, as `publish` does.

        Raises:
            TooLarge: over `limits.BLOB_BYTES`.
            StorageFull: the disk stayed full.
            StorageFailed: the disk or its folder failed otherwise.
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
        """Returns the bytes with this sha256, verified. Raises `NotFound`, `TooLarge`, or `BlobCorrupt`."""
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
        """Returns the hub's lag per group, sessions, calls and counts. Raises `DeadlineExceeded` if no hub answers."""
        reply, _ = await self._link.request(c.Status(), timeout=timeout)
        assert isinstance(reply, c.Report)
        return reply


class Listener:
    """An endless iterator over live messages; it skips those that cannot be decoded."""

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
    """Connects to the hub at `endpoint` and yields the client.

    `role` decides which topics may be read and written; `instance` names this process. If two processes have the same
    key and name, the newer one stays, and the older one's requests raise `Replaced`. Observers without a key may share
    a name. Every role but the observer needs a `key`: a key is for one role and one name, with or without a suffix
    ("anna", "anna/2"). `run` is the run folder if this machine can reach it; without it blobs travel through the hub.

    Raises:
        EndpointError: the endpoint is malformed, or is an address that cannot be connected to.
        DeadlineExceeded: no hub answered within `timeout` seconds.
        NotAdmitted: the hub does not admit this key, or not for this role and name.
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
