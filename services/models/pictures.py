"""Decodes untrusted pictures: three formats only, and a limit on the number of pixels."""

import io
from typing import TYPE_CHECKING

from services.models.engine import EngineError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
PIXELS = 8192 * 8192
"""The largest frame in pixels, because a few bytes can encode a picture of any size."""


def open_picture(data: bytes) -> "Image.Image":
    """Opens a picture, which gives its size and format, without decoding its pixels.

    Raises:
        EngineError: it is not a picture in one of `FORMATS`, or it is too large.
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
    """Returns the picture in RGB. Raises `EngineError` as `open_picture` does, or if the data is damaged."""
    found = open_picture(data)
    try:
        return found.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise EngineError(f"a frame of {len(data)} bytes is damaged: {error}") from error
