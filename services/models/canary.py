"""The canary: a fixed question about a fixed picture that an adapter version must answer before it serves."""

import hashlib
import io
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
    """Returns a colour gradient as PNG. The bytes are the same in every process with one release of Pillow."""
    from PIL import Image  # imported late: a scripted engine needs it only for its first canary

    pixels = bytes(
        value for y in range(SIZE) for x in range(SIZE) for value in (2 * x % 256, 2 * y % 256, (x + y) % 256)
    )
    out = io.BytesIO()
    Image.frombytes("RGB", (SIZE, SIZE), pixels).save(out, "PNG", compress_level=9)
    return out.getvalue()


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
