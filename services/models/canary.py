"""The fixed question about a fixed picture by which an engine proves that an adapter version works."""

import hashlib
import io
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
    """A colour gradient as PNG: the same bytes at every call and, with one release of Pillow, in every process."""
    from PIL import Image  # a scripted engine starts without it, and writes the picture at its first canary

    pixels = bytes(
        value for y in range(SIZE) for x in range(SIZE) for value in (2 * x % 256, 2 * y % 256, (x + y) % 256)
    )
    out = io.BytesIO()
    Image.frombytes("RGB", (SIZE, SIZE), pixels).save(out, "PNG", compress_level=9)
    return out.getvalue()


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
