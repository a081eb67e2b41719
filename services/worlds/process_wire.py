"""What a world and its simulator's process say to each other: msgpack with a length before it, frames as raw bytes."""

import socket
import struct
import time
from typing import Any, Literal

import msgspec
import numpy as np

from protocols.messages import Task
from services.worlds.world import Frame, Truth

MAX_BYTES = 256 << 20
"""The largest message: a frame of 8192 x 8192 fits."""

_LENGTH = struct.Struct("!I")


class Pixels(msgspec.Struct, frozen=True, kw_only=True):
    """A frame: ``height`` x ``width`` x 3 bytes, RGB, row by row."""

    height: int
    width: int
    data: memoryview

    def picture(self) -> Frame:
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 3)


class Make(msgspec.Struct, frozen=True, tag=True):
    """``target`` is "module:factory", called with ``options``."""

    target: str
    options: dict[str, Any]


class Reset(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    task: Task | None
    seed: int


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    action: str


class View(msgspec.Struct, frozen=True, tag=True):
    """The third-person view."""


class Know(msgspec.Struct, frozen=True, tag=True):
    """The truth."""


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
    """The world lives on, but not with this request."""

    kind: Literal["ValueError", "RuntimeError"]
    text: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The simulator is lost."""

    text: str


Reply = Made | Begun | Stepped | Viewed | Known | Closed | Refused | Failed

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Request | Reply)


def pixels(frame: Frame) -> dict[str, Any]:
    """The fields of `Pixels` for a frame, without copying it where it is contiguous."""
    height, width, _ = frame.shape
    return {"height": height, "width": width, "data": np.ascontiguousarray(frame).data.cast("B")}


def send(to: socket.socket, message: Request | Reply, until: float | None = None) -> None:
    """Raises TimeoutError at ``until`` (monotonic seconds), OSError where the other side is gone."""
    body = bytearray(_LENGTH.size)
    _encoder.encode_into(message, body, _LENGTH.size)
    _LENGTH.pack_into(body, 0, len(body) - _LENGTH.size)
    to.settimeout(_left(until))
    to.sendall(body)


def receive(source: socket.socket, until: float | None = None) -> Any:
    """The next message. Raises TimeoutError, EOFError where the other side is gone, MsgspecError for nonsense."""
    (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size, until))
    if length > MAX_BYTES:
        raise msgspec.DecodeError(f"a message of {length} bytes")
    return _decoder.decode(_exactly(source, length, until))


def _exactly(source: socket.socket, count: int, until: float | None) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        source.settimeout(_left(until))
        got = source.recv_into(view)
        if not got:
            raise EOFError("the other side has gone")
        view = view[got:]
    return data


def _left(until: float | None) -> float | None:
    """The seconds left. Never 0, which would mean not to wait at all."""
    return None if until is None else max(1e-6, until - time.monotonic())
