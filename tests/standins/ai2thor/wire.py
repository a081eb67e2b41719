"""The client's FIFO protocol from the player's side: typed fields with their lengths, images bottom row first."""

import json
import os
import struct
import sys
from typing import Any

import msgpack
import numpy as np

from tests.standins.ai2thor.draw import Frame

METADATA, ACTION, RGB, THIRD, PATCH, END = 1, 2, 4, 10, 11, 255
HEADER = struct.Struct("!BI")


class Wire:
    def __init__(self) -> None:
        self._out = os.open(os.environ["AI2THOR_FIFO_SERVER_PIPE_PATH"], os.O_WRONLY)
        self._in: int | None = None

    def send(self, *fields: tuple[int, bytes]) -> None:
        self.write(b"".join(HEADER.pack(kind, len(body)) + body for kind, body in (*fields, (END, b""))))

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def receive(self) -> dict[str, Any]:
        if self._in is None:
            self._in = os.open(os.environ["AI2THOR_FIFO_CLIENT_PIPE_PATH"], os.O_RDONLY)
        command: dict[str, Any] = {}
        while True:
            kind, length = HEADER.unpack(self._exactly(HEADER.size))
            if kind == END:
                return command
            command = json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self._in or 0, count - len(data))
            if not part:
                sys.exit(0)  # the client has gone
            data += part
        return data


def packed(value: object) -> bytes:
    return msgpack.packb(value)


def pixels(frame: Frame, alpha: bool) -> bytes:
    """A frame as the player sends it; CloudRendering has an alpha channel."""
    if alpha:
        frame = np.concatenate([frame, np.full((*frame.shape[:2], 1), 255, np.uint8)], axis=2)
    return frame[::-1].tobytes()
