"""The messages between a world and its simulator's process: length-prefixed msgpack. Frames are in shared memory."""

import select
import socket
import struct
import time
from contextlib import suppress
from typing import Any, Literal

import msgspec

from protocols.messages import Task
from services.worlds.world import Truth

MAX_BYTES = 64 << 20
"""The largest message, in bytes."""

BUFFER_BYTES = 64 << 10
"""The initial size of the receive buffer, larger than most messages."""

_LENGTH = struct.Struct("!I")


class Pixels(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a frame in shared memory: ``height`` x ``width`` x 3 bytes, RGB, row by row."""

    height: int
    width: int


class Make(msgspec.Struct, frozen=True, tag=True):
    """Make the simulator: call ``target`` ("module:factory") with ``options``."""

    target: str
    options: dict[str, Any]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of requests whose reply has a frame; ``place`` is the slot for it."""

    place: int


class Reset(Look, frozen=True, kw_only=True, tag=True):
    task: Task | None
    seed: int


class Step(Look, frozen=True, kw_only=True, tag=True):
    action: str


class View(Look, frozen=True, kw_only=True, tag=True):
    """Request for the third-person view."""


class Know(msgspec.Struct, frozen=True, tag=True):
    """Request for the ground truth."""


class Close(msgspec.Struct, frozen=True, tag=True):
    pass


Request = Make | Reset | Step | View | Know | Close


class Seen(Pixels, frozen=True, kw_only=True):
    admissible: tuple[str, ...]
    error: str | None


class Made(msgspec.Struct, frozen=True, tag=True):
    pass


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    task: Task
    seen: Seen


class Stepped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    seen: Seen
    terminated: bool
    truncated: bool


class Viewed(Pixels, frozen=True, kw_only=True, tag=True):
    pass


class Known(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    truth: Truth


class Closed(msgspec.Struct, frozen=True, tag=True):
    pass


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The world refused the request and keeps running."""

    kind: Literal["ValueError", "RuntimeError"]
    text: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The simulator failed and its process exits."""

    text: str


Reply = Made | Begun | Stepped | Viewed | Known | Closed | Refused | Failed

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Request | Reply)


class Channel:
    """One side of a socket pair on which requests and replies alternate. Owns the socket."""

    def __init__(self, side: socket.socket) -> None:
        side.setblocking(False)
        self.socket = side
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(side, select.POLLIN)
        self._writable.register(side, select.POLLOUT)
        self._buffer = bytearray(BUFFER_BYTES)

    def send(self, message: Request | Reply, until: float | None = None) -> None:
        """Sends a message. Raises TimeoutError at ``until`` (monotonic seconds), OSError if the peer is gone."""
        body = bytearray(_LENGTH.size)
        _encoder.encode_into(message, body, _LENGTH.size)
        _LENGTH.pack_into(body, 0, len(body) - _LENGTH.size)
        sent = 0
        while True:
            with suppress(BlockingIOError):
                sent += self.socket.send(memoryview(body)[sent:])
            if sent == len(body):
                return
            self._wait(self._writable, until)

    def receive(self, until: float | None = None) -> Any:
        """Returns the next message.

        Raises TimeoutError at ``until``, EOFError if the peer is gone, MsgspecError for invalid data.
        """
        got, end = 0, _LENGTH.size
        while got < end:
            self._wait(self._readable, until)
            more = self.socket.recv_into(memoryview(self._buffer)[got:])
            if not more:
                raise EOFError("the other side has gone")
            got += more
            if got >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
                if end > MAX_BYTES:
                    raise msgspec.DecodeError(f"a message of {end} bytes")
                if end > len(self._buffer):
                    self._buffer.extend(bytes(end - len(self._buffer)))
        if got > end:
            raise msgspec.DecodeError(f"{got - end} bytes that nobody asked for")
        return _decoder.decode(memoryview(self._buffer)[_LENGTH.size : end])

    def _wait(self, ready: select.poll, until: float | None) -> None:
        if self.socket.fileno() < 0:
            raise EOFError("this side was closed")
        if not ready.poll(None if until is None else max(0.0, until - time.monotonic()) * 1e3):
            raise TimeoutError
