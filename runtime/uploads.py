"""Blobs on their way in, piece by piece, each bounded by the size it announced."""

import anyio.to_thread
import msgspec

from protocols.codec import digest as digest_of
from protocols.commands import PutBlob
from protocols.errors import Busy, DecodeError
from runtime.blobs import BlobStore

AT_ONCE = 16
"""Unfinished uploads of one session."""


class _Upload(msgspec.Struct):
    size: int
    data: bytearray


class Uploads:
    """Gathers pieces into blobs. A session that leaves takes its unfinished ones with it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._open: dict[tuple[bytes, str], _Upload] = {}

    async def put(self, session: bytes, command: PutBlob, piece: bytes) -> None:
        """Takes the next piece; the last one is checked and stored.

        Raises:
            DecodeError: a piece out of place, too many bytes, or a digest that does not match.
            Busy: too many unfinished uploads.
        """
        key = (session, command.digest)
        if command.at == 0:
            if sum(owner == session for owner, _ in self._open) >= AT_ONCE:
                raise Busy(f"{AT_ONCE} uploads are unfinished: finish one first")
            self._open[key] = _Upload(command.size, bytearray())
        upload = self._open.get(key)
        if upload is None or len(upload.data) != command.at or upload.size != command.size:
            self._open.pop(key, None)
            raise DecodeError(
                f"blob {command.digest[:12]}: piece at byte {command.at} is out of place; start again at 0"
            )
        upload.data += piece
        if len(upload.data) < upload.size:
            return
        del self._open[key]
        data = bytes(upload.data)
        if len(data) != upload.size or digest_of(data) != command.digest:
            raise DecodeError(
                f"blob {command.digest[:12]}: the {len(data)} bytes received do not match digest and size"
            )
        await anyio.to_thread.run_sync(self._blobs.put, data)

    def drop(self, session: bytes) -> None:
        for key in [key for key in self._open if key[0] == session]:
            del self._open[key]
