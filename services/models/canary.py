"""The fixed question about a fixed picture by which an engine proves that an adapter version works."""

import hashlib
import struct
import zlib
from functools import cache

from services.models.engine import AdapterRefused, Generation, Request

CANARY_SECONDS = 60.0
"""How long a canary may take before the adapter counts as dead. Generous: an engine compiles at its first answers."""

NOTICEABLE = 1e-3
"""A LoRA factor B with values this large cannot leave an answer's probability the same to the last digit."""

PROMPT = "Task: open the fridge. Is the task done?"
SIZE = 128
"""Pixels a side."""


@cache
def picture() -> bytes:
    """A colour gradient as PNG, written without an imaging library so that no engine needs one for its canary."""
    rows = b"".join(
        b"\0" + b"".join(bytes((2 * x % 256, 2 * y % 256, (x + y) % 256)) for x in range(SIZE)) for y in range(SIZE)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def canary_request(version: int) -> Request:
    """A short greedy request on `version`."""
    image = picture()
    return Request(
        prompt=PROMPT, image=image, image_id=hashlib.sha256(image).hexdigest(), version=version, max_tokens=4
    )


def check_effect(name: str, size: float, said: Generation, base: Generation) -> None:
    """Raises AdapterRefused where an adapter whose B factors reach `size` answers its canary as the base model does.

    An engine that tells no probabilities cannot be judged so, and is not.
    """
    if size < NOTICEABLE or base.log_prob is None:
        return
    if (said.text, said.log_prob) == (base.text, base.log_prob):
        raise AdapterRefused(
            f"{name} changes nothing: the engine answers as the base model does; its layer names may not fit"
        )
