"""Uploads of blobs: pieces are appended to a temporary file, up to the announced size."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from protocols.codec import digest as digest_of
from protocols.commands import PutBlob
from protocols.errors import Busy, DecodeError, ProtocolError
from runtime.blobs import BlobStore

AT_ONCE = 16
"""Upper limit of unfinished uploads of one session."""

Owner = tuple[bytes, str]
"""A session and a digest."""


class _Upload(msgspec.Struct):
    size: int
    scratch: Path
    have: int = 0
    lock: anyio.Lock = msgspec.field(default_factory=anyio.Lock)
    digest: Any = msgspec.field(default_factory=hashlib.sha256)


class Uploads:
    """Assembles pieces into blobs. The unfinished uploads of an ended session are deleted."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._open: dict[Owner, _Upload] = {}

    async def put(self, session: bytes, command: PutBlob, piece: bytes) -> None:
        """Appends the next piece. After the last one, verifies the digest and stores the blob.

        Raises:
            DecodeError: a piece is out of order, there are too many bytes, or the digest does not match.
            Busy: the session has too many unfinished uploads.
            StorageFull, StorageFailed: the blob cannot be written.
        """
        owner = (session, command.digest)
        if command.at == 0 and len(piece) == command.size:  # the whole blob in one piece: needs no upload state
            if digest_of(piece) != command.digest:
                raise DecodeError(f"blob {command.digest[:12]}: the {command.size} bytes have another digest")
            await anyio.to_thread.run_sync(self._blobs.put, piece)
            return
        if command.at == 0:
            self._end(owner)
            if sum(other == session for other, _ in self._open) >= AT_ONCE:
                raise Busy(f"{AT_ONCE} uploads are unfinished: finish one first")
            self._open[owner] = _Upload(command.size, self._blobs.scratch(command.digest))
        upload = self._open.get(owner)
        if upload is None or (upload.have, upload.size) != (command.at, command.size):
            self._end(owner)
            raise DecodeError(f"blob {command.digest[:12]}: piece at byte {command.at} is out of place; begin at 0")
        if upload.have + len(piece) > upload.size:
            self._end(owner)
            raise DecodeError(f"blob {command.digest[:12]}: more bytes than the {upload.size} that were announced")
        upload.have += len(piece)
        last = upload.have == upload.size
        try:
            async with upload.lock:
                upload.digest.update(piece)
                await anyio.to_thread.run_sync(self._blobs.add, upload.scratch, piece)
            if last and upload.digest.hexdigest() != command.digest:
                raise DecodeError(f"blob {command.digest[:12]}: the {upload.size} bytes received have another digest")
            if last:
                await anyio.to_thread.run_sync(self._blobs.adopt, upload.scratch, command.digest)
        except ProtocolError:
            self._end(owner)
            raise
        if last:
            self._open.pop(owner, None)

    def drop(self, session: bytes) -> None:
        """Deletes the unfinished uploads of a session."""
        for owner in [owner for owner in self._open if owner[0] == session]:
            self._end(owner)

    def _end(self, owner: Owner) -> None:
        if upload := self._open.pop(owner, None):
            with suppress(OSError):
                upload.scratch.unlink(missing_ok=True)
