"""The canary: a fixed question about a fixed picture that an adapter version must answer before it serves."""

import hashlib
import struct
import zlib
from functools import cache

from services.models.engine import AdapterRefused, Generation, Request

CANARY_SECONDS = 60.0
"""How long a canary may take before the adapter is refused. Long, because an engine compiles at its first answers."""

NOTICEABLE = 1e-3
"""If a value of LoRA factor B is this large, the answer's probability must differ from the base model's."""

PROMPT = "Task: open the fridge. Is the task done?"
SIZE = 128
"""Width and height in pixels."""


@cache
def picture() -> bytes:
    """Returns a colour gradient as PNG. Written without an imaging library, so no engine needs one for its canary."""
    rows = b"".join(
        b"\0" + b"".join(bytes((2 * x % 256, 2 * y % 256, (x + y) % 256)) for x in range(SIZE)) for y in range(SIZE)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def canary_request(version: int) -> Request:
    """Returns a short greedy request for `version`."""
    image = picture()
    return Request(
        prompt=PROMPT, image=image, image_id=hashlib.sha256(image).hexdigest(), version=version, max_tokens=4
    )


def check_effect(name: str, size: float, said: Generation, base: Generation) -> None:
    """Raises AdapterRefused if an adapter whose B factors reach `size` gives exactly the base model's canary answer.

    Not checked if the engine reports no probabilities.
    """
    if size < NOTICEABLE or base.log_prob is None:
        return
    if (said.text, said.log_prob) == (base.text, base.log_prob):
        raise AdapterRefused(
            f"{name} changes nothing: the engine answers as the base model does; its layer names may not fit"
        )
