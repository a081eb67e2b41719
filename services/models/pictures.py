"""Encoded pictures to pixels, whoever sent them: three plain formats, and no more pixels than a frame can have."""

import io
from typing import TYPE_CHECKING

from services.models.engine import EngineError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
PIXELS = 8192 * 8192
"""The largest frame. A few bytes of a picture may stand for any number of pixels."""


def open_picture(data: bytes) -> "Image.Image":
    """The picture with its size and format known and its pixels not decoded yet.

    Raises:
        EngineError: it is no such picture, or too large.
    """
    from PIL import Image

    try:
        found = Image.open(io.BytesIO(data), formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EngineError(f"a frame of {len(data)} bytes is no picture: {error}") from error
    if found.width * found.height > PIXELS:
        raise EngineError(f"a frame of {found.width} x {found.height} pixels is over the limit of {PIXELS}")
    return found


def decode(data: bytes) -> "Image.Image":
    """The picture in RGB. Raises `EngineError` as `open_picture` does, or where it is damaged."""
    found = open_picture(data)
    try:
        return found.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise EngineError(f"a frame of {len(data)} bytes is damaged: {error}") from error
