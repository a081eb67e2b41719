"""Frames as data URIs, within a size budget: the report is then one file without external links."""

import base64
import io

from PIL import Image

from protocols.codec import digest
from protocols.errors import ProtocolError
from protocols.messages import Digest
from runtime.blobs import BlobStore
from services.models.engine import EngineError
from services.models.pictures import open_picture

PAGE_BYTES = 4 << 20
"""Most bytes of all frames of a report together, as data URIs."""
FRAME_BYTES = 24 << 10
"""Larger frames are scaled down."""
SIDE = 256
"""The longest side of a scaled frame, in pixels."""


class Frames:
    """Reads frames by digest. A frame that is used several times counts once against the budget."""

    def __init__(self, blobs: BlobStore, budget: int = PAGE_BYTES) -> None:
        self._blobs = blobs
        self._left = budget
        self._known: dict[Digest, str | None] = {}

    def uri(self, name: Digest) -> str | None:
        """A data URI, or ``None`` if the frame is missing, damaged, no picture, or over the budget."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: Digest) -> str | None:
        try:
            data = self._blobs.get(name)
            if digest(data) != name:
                return None
            with open_picture(data) as image:
                kind = (image.format or "").lower()
                if len(data) > FRAME_BYTES or kind not in ("png", "jpeg", "webp"):
                    data, kind = _smaller(image), "webp"
        except (ProtocolError, EngineError, OSError, ValueError):
            return None
        uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        if len(uri) > self._left:
            return None
        self._left -= len(uri)
        return uri


def _smaller(image: Image.Image) -> bytes:
    copy = image.convert("RGB")
    copy.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    copy.save(out, "WEBP", quality=80)
    return out.getvalue()
