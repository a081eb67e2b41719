"""ZeroMQ sockets for anyio: non-blocking calls, one pump task per socket, and no message lost by cancellation.

ZeroMQ's file descriptor is edge-triggered, and any call on the socket may consume the edge. One pump task therefore
waits for the descriptor and wakes readers and writers, and every call checks the socket's events again afterwards.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import anyio
import anyio.abc
import msgspec
import zmq
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled

from protocols import limits

HIGH_WATER = 10_000
"""Messages queued per peer and direction before sends would block."""
FANOUT_HIGH_WATER = 1000
"""Messages queued for a slow subscriber before messages to it are dropped."""
LINGER_MS = 500
"""How long a closed socket still tries to send its queued messages."""
HEARTBEAT_MS, SILENT_MS = 1000, 5000
"""Interval of ZeroMQ's heartbeats, and the silence after which a connection is closed and made again. A vanished
machine closes no connection."""
BURST = 64
"""Messages received in a row before the task yields to others."""
HANDSHAKE_MS = 5000
"""Time limit for a connection attempt, and for its handshake."""
BACKLOG = 1024
"""Connections that may wait to be accepted."""
DOMAIN = "selu"
"""The ZAP domain in requests to `runtime.zap`."""

# Plain integers: arithmetic on pyzmq's enums costs more than the calls that use it.
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


Context = zmq.Context["zmq.Socket[bytes]"]


class Curve(msgspec.Struct, frozen=True):
    """CURVE keys in Z85. ``hub`` is the hub's public key for a client, and empty for the hub itself."""

    public: str
    secret: str
    hub: str = ""

    def __repr__(self) -> str:
        return f"Curve(public={self.public!r})"


class Socket:
    """A ZeroMQ socket, made by `open_socket`. One task may receive; any number of tasks may send.

    With ``signed``, peers authenticate by CURVE, and `receive_signed` returns their public keys.
    """

    def __init__(self, raw: "zmq.Socket[bytes]", *, signed: bool = False) -> None:
        self.raw = raw
        self.signed = signed
        self._readable = anyio.Event()
        self._writable = anyio.Event()
        self._burst = 0

    async def receive(self) -> list[bytes]:
        """Returns the frames of the next message. A cancelled call loses no message."""
        return (await self._receive(self._take))[1]

    async def receive_signed(self) -> tuple[str | None, list[bytes]]:
        """Returns the public key of the connection (``None`` without CURVE) and the frames of the next message."""
        return await self._receive(self._take_signed if self.signed else self._take)

    def _take(self) -> tuple[str | None, list[bytes]]:
        return None, self.raw.recv_multipart(_NOBLOCK)

    def _take_signed(self) -> tuple[str | None, list[bytes]]:
        first = self.raw.recv(_NOBLOCK, copy=False)
        frames = [first.bytes]
        if first.more:
            frames += self.raw.recv_multipart(_NOBLOCK)
        return str(first.get("User-Id")), frames

    async def _receive(self, take: Callable[[], tuple[str | None, list[bytes]]]) -> tuple[str | None, list[bytes]]:
        await checkpoint_if_cancelled()
        while True:
            try:
                taken = take()
            except zmq.Again:
                self._burst = 0
                await self._wait_readable()
            else:
                self._wake()
                self._burst += 1
                if self._burst >= BURST:
                    self._burst = 0
                    await cancel_shielded_checkpoint()  # shielded: cancellation would lose the message
                return taken

    async def send(self, frames: Sequence[bytes]) -> None:
        """Queues one message. Waits while the peer's queue is full."""
        await checkpoint_if_cancelled()
        while not self.send_nowait(frames):
            await self._wait_writable()

    def send_nowait(self, frames: Sequence[bytes]) -> bool:
        """Queues one message if there is room; returns whether there was.

        Raises:
            zmq.ZMQError: EHOSTUNREACH, for a ROUTER's disconnected peer.
        """
        try:  # ZeroMQ takes all frames of a message or none: only the first one can raise Again
            for frame in frames[:-1]:
                self.raw.send(frame, _MORE)
            self.raw.send(frames[-1], _NOBLOCK)
        except zmq.Again:
            return False
        self._wake()
        return True

    def connect(self, endpoint: str) -> None:
        """Connects a socket that was opened unconnected. Raises `OSError` with the endpoint."""
        with _opening(endpoint):
            if "[" in endpoint:
                self.raw.setsockopt(zmq.IPV6, 1)
            self.raw.connect(endpoint)

    def bind_again(self, endpoint: str) -> None:
        """Binds to a further endpoint; existing connections stay. The endpoint of a Unix socket may be bound again
        after its file was removed. Raises `OSError` with the endpoint."""
        with _opening(endpoint):
            self.raw.bind(endpoint)

    @property
    def address(self) -> str:
        """The bound endpoint; if the given port was 0, with the port that the system chose."""
        return self.raw.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    async def _wait_readable(self) -> None:
        self._readable = anyio.Event()
        self._wake()
        await self._readable.wait()

    async def _wait_writable(self) -> None:
        if self._writable.is_set():
            self._writable = anyio.Event()
        self._wake()
        await self._writable.wait()

    def _wake(self) -> None:
        events = int(cast("int", self.raw.getsockopt(zmq.EVENTS)))
        if events & _POLLIN:
            self._readable.set()
        if events & _POLLOUT:
            self._writable.set()

    async def pump(self) -> None:
        """Wakes waiting readers and writers until cancelled. They wait forever unless a task runs it."""
        descriptor = self.raw.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        while True:
            await anyio.wait_readable(descriptor)
            self._wake()


@contextmanager
def _opening(endpoint: str) -> Generator[None]:
    try:
        yield
    except zmq.ZMQError as error:
        raise OSError(error.errno, f"cannot open {endpoint}: {error.strerror}") from error


@asynccontextmanager
async def background() -> AsyncGenerator[anyio.abc.TaskGroup]:
    """A task group that is cancelled when the block ends. An exception of the block is raised without a group."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def open_socket(
    kind: int,
    *,
    bind: str | None = None,
    connect: str | None = None,
    subscribe: Sequence[bytes] = (),
    curve: Curve | None = None,
    context: Context | None = None,
) -> AsyncGenerator[Socket]:
    """Opens a bound or connected socket and closes it on exit.

    With `curve` the traffic is encrypted and both sides authenticate. For a bound socket, `runtime.zap` in the same
    context decides which keys may connect; without it, none may.

    Raises:
        OSError: the endpoint is in use or not available; the text names it.
    """
    raw = (context or cast("Context", zmq.Context.instance())).socket(kind)
    try:
        raw.setsockopt(zmq.LINGER, LINGER_MS)
        raw.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        raw.set_hwm(FANOUT_HIGH_WATER if kind == zmq.PUB else HIGH_WATER)
        raw.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        raw.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENT_MS)
        raw.setsockopt(zmq.CONNECT_TIMEOUT, HANDSHAKE_MS)
        raw.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        if kind == zmq.ROUTER:
            raw.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if bind is not None and "[" in bind:
            raw.setsockopt(zmq.IPV6, 1)
        if curve is not None:
            _encrypt(raw, curve)
        for prefix in subscribe:
            raw.setsockopt(zmq.SUBSCRIBE, prefix)
        wrapped = Socket(raw, signed=curve is not None and bind is not None)
        if bind is not None:
            with _opening(bind):
                raw.bind(bind)
        if connect is not None:
            wrapped.connect(connect)
        async with background() as tasks:
            tasks.start_soon(wrapped.pump)
            yield wrapped
    finally:
        raw.close()


def _encrypt(raw: "zmq.Socket[bytes]", curve: Curve) -> None:
    raw.setsockopt_string(zmq.CURVE_PUBLICKEY, curve.public)
    raw.setsockopt_string(zmq.CURVE_SECRETKEY, curve.secret)
    if curve.hub:
        raw.setsockopt_string(zmq.CURVE_SERVERKEY, curve.hub)
        return
    raw.setsockopt(zmq.CURVE_SERVER, 1)
    raw.setsockopt(zmq.BACKLOG, BACKLOG)
    raw.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
    raw.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else a hub without a working ZAP handler admits all keys
