"""Frames from whoever: plain pictures are decoded, others are an error before they cost anything."""

import io
import struct
import zlib

import pytest
from PIL import Image

from services.models.engine import EngineError
from services.models.pictures import decode


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 10)).save(out, kind)
    return out.getvalue()


def png(width: int, height: int, data: bytes) -> bytes:
    """A picture of that size by its header, whatever its data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack("!I", len(body)) + name + body + struct.pack("!I", zlib.crc32(name + body))

    header = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_plain_pictures_are_decoded(kind: str) -> None:
    found = decode(encoded(kind))
    assert (found.size, found.mode) == ((8, 6), "RGB")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no picture"),
        (b"no picture", "is no picture"),
        (encoded("PNG")[:40], "is no picture|is damaged"),
        (encoded("EPS"), "is no picture"),  # a program, which Pillow would have Ghostscript run
        (encoded("TIFF"), "is no picture"),
        (png(9000, 9000, b"\0" * 100), "9000 x 9000 pixels is over the limit"),
        (png(2**31 - 1, 2**31 - 1, b"\0" * 100), "is no picture"),
    ],
    ids=["empty", "text", "cut", "eps", "tiff", "large", "bomb"],
)
def test_what_is_no_picture_or_stands_for_too_many_pixels_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        decode(data)
