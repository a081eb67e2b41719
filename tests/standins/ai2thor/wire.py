"""The client's two protocols from the player's side, over named pipes and over HTTP. Images have the bottom row first.

What is sent are typed fields: over pipes each with its length, over HTTP as the parts of a form.
"""

import json
import os
import struct
import sys
import time
from http.client import HTTPConnection
from typing import Any

import msgpack
import numpy as np

from tests.standins.ai2thor.draw import Frame

METADATA, ACTION, RGB, THIRD, PATCH, END = 1, 2, 4, 10, 11, 255
EDGE = b"edge-of-the-parts-of-a-form"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={EDGE.decode()}"}
FORM = {
    METADATA: 'name="metadata"',
    RGB: 'name="image"; filename="image"',
    THIRD: 'name="image-thirdParty-camera"; filename="third"',
}
HEADER = struct.Struct("!BI")


class Pipes:
    def __init__(self) -> None:
        self._out = os.open(os.environ["AI2THOR_FIFO_SERVER_PIPE_PATH"], os.O_WRONLY)
        self._in: int | None = None

    def send(self, *fields: tuple[int, bytes]) -> None:
        self.write(b"".join(HEADER.pack(kind, len(body)) + body for kind, body in (*fields, (END, b""))))

    def nonsense(self) -> None:
        self.write(b"\x63\x00\x00\x00\x04oops")

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


class Posts:
    """Every answer is a request, whose response is the next command."""

    def __init__(self) -> None:
        self._to = HTTPConnection(os.environ["AI2THOR_HOST"], int(os.environ["AI2THOR_PORT"]))

    def send(self, *fields: tuple[int, bytes]) -> None:
        if os.environ.get("STANDIN_FAULT", "").startswith("foreign"):
            self._post(fields, token="somebody else's")
            refused = self._to.getresponse()
            assert refused.read() and refused.status == 403
        self._post(fields, os.environ["AI2THOR_CLIENT_TOKEN"])

    def _post(self, fields: tuple[tuple[int, bytes], ...], token: str) -> None:
        parts = [_part('name="token"', token.encode())]
        for kind, body in fields:
            parts.append(_part(FORM[kind], json.dumps(msgpack.unpackb(body)).encode() if kind == METADATA else body))
        self._to.request("POST", "/train", b"".join((*parts, b"--" + EDGE + b"--")), FORM_TYPE)

    def nonsense(self) -> None:
        self._to.request("POST", "/train", b"oops", FORM_TYPE)
        self.receive()

    def receive(self) -> dict[str, Any]:
        response = self._to.getresponse()
        body = response.read()
        if response.status != 200:
            time.sleep(3600)  # it was not understood, and knows no better
        command: dict[str, Any] = json.loads(body)
        if not command:
            sys.exit(0)  # the client has done with it
        return command


def _part(disposition: str, body: bytes) -> bytes:
    kind = "image/raw-rgb" if "filename" in disposition else "text/plain; charset=utf-8"
    head = f"Content-Type: {kind}\r\nContent-disposition: form-data; {disposition}"
    return b"--" + EDGE + b"\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n"


def packed(value: object) -> bytes:
    return msgpack.packb(value)


def pixels(frame: Frame, alpha: bool) -> bytes:
    """A frame as the player sends it; CloudRendering has an alpha channel."""
    if alpha:
        frame = np.concatenate([frame, np.full((*frame.shape[:2], 1), 255, np.uint8)], axis=2)
    return frame[::-1].tobytes()
