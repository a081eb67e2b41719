"""ZeroMQ sockets for anyio: non-blocking calls, one pump a socket, and no message lost to cancellation.

ZeroMQ's file descriptor is edge-triggered and any call on the socket may swallow the edge, so one pump task waits for
it and wakes readers and writers, and every call looks at the socket's events again afterwards.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import anyio
import anyio.abc
import zmq
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled

from protocols import limits

HIGH_WATER = 10_000
"""Messages queued for or from one peer before ZeroMQ pushes back."""
LINGER_MS = 500
"""How long closing waits for messages on their way out."""
BURST = 64
"""Messages received in a row before other tasks get their turn."""

# Plain numbers: pyzmq's are enums, whose arithmetic costs more than the calls they go into.
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


class Socket:
    """A ZeroMQ socket inside `open_socket`. One task may receive and any number may send."""

    def __init__(self, raw: "zmq.Socket[bytes]") -> None:
        self.raw = raw
        self._readable = anyio.Event()
        self._writable = anyio.Event()
        self._burst = 0

    async def receive(self) -> list[bytes]:
        """The next message's frames. Cancelling loses nothing: frames are taken only when they can be returned."""
        await checkpoint_if_cancelled()
        while True:
            try:
                frames = self.raw.recv_multipart(_NOBLOCK)
            except zmq.Again:
                self._burst = 0
                await self._wait_readable()
            else:
                self._wake()
                self._burst += 1
                if self._burst >= BURST:
                    self._burst = 0
                    await cancel_shielded_checkpoint()  # a message in hand cannot be cancelled away
                return frames

    async def send(self, frames: Sequence[bytes]) -> None:
        """Queues one message, waiting while the peer's queue is full."""
        await checkpoint_if_cancelled()
        while not self.send_nowait(frames):
            await self._wait_writable()

    def send_nowait(self, frames: Sequence[bytes]) -> bool:
        """Queues one message if there is room now. Raises `zmq.ZMQError` (EHOSTUNREACH) for a ROUTER's gone peer."""
        try:  # ZeroMQ takes all frames of a message or none: only the first can find the queue full
            for frame in frames[:-1]:
                self.raw.send(frame, _MORE)
            self.raw.send(frames[-1], _NOBLOCK)
        except zmq.Again:
            return False
        self._wake()
        return True

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

    async def _pump(self) -> None:
        descriptor = self.raw.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        while True:
            await anyio.wait_readable(descriptor)
            self._wake()


@asynccontextmanager
async def background() -> AsyncGenerator[anyio.abc.TaskGroup]:
    """A task group that is cancelled when the block ends; the block's own exception comes out as it is."""
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
) -> AsyncGenerator[Socket]:
    """Opens a bound or connected socket; leaving closes it.

    Raises:
        OSError: the endpoint is in use or cannot be had; the text names it.
    """
    context = cast("zmq.Context[zmq.Socket[bytes]]", zmq.Context.instance())
    raw = context.socket(kind)
    try:
        raw.setsockopt(zmq.LINGER, LINGER_MS)
        raw.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        raw.set_hwm(HIGH_WATER)
        if kind == zmq.ROUTER:
            raw.setsockopt(zmq.ROUTER_MANDATORY, 1)
        for prefix in subscribe:
            raw.setsockopt(zmq.SUBSCRIBE, prefix)
        try:
            if bind is not None:
                raw.bind(bind)
            if connect is not None:
                raw.connect(connect)
        except zmq.ZMQError as error:
            raise OSError(error.errno, f"cannot open {bind or connect}: {error.strerror}") from error
        wrapped = Socket(raw)
        async with background() as tasks:
            tasks.start_soon(wrapped._pump)  # pyright: ignore[reportPrivateUsage]
            yield wrapped
    finally:
        raw.close()
