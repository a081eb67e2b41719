"""Content-addressed files: frames and adapters, named by sha256, on disk before anything names them."""

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocols import limits
from protocols.codec import digest as digest_of
from protocols.errors import NotFound, ProtocolError, StorageFull, TooLarge
from runtime import crash

COMPARE_BYTES = 1 << 20
"""How much of a blob that is there already is compared at once."""


class BlobCorrupt(ProtocolError):
    """A blob's bytes no longer match its name. Never returned as data."""

    code = "blob_corrupt"


class BlobStore:
    """A folder of blobs, two levels deep. Safe for many processes: a blob is whole or absent.

    `put` fsyncs the file and its folder before it returns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise NotFound(f"{digest!r} is not a blob digest (64 lower-case hex digits)")
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def put(self, data: bytes | memoryview) -> str:
        """Stores the bytes and returns their digest.

        Raises:
            TooLarge: over `limits.BLOB_BYTES`.
            StorageFull: the disk refused; nothing is left behind.
        """
        if len(data) > limits.BLOB_BYTES:
            raise TooLarge(f"a blob of {len(data)} bytes is over the limit of {limits.BLOB_BYTES}")
        digest = digest_of(data)
        target = self.path(digest)
        scratch = self.scratch(digest)
        with self._writing(scratch):
            if self._holds(target, data):
                _sync_folder(target.parent)  # whoever wrote it may have died before this
                return digest
        self.add(scratch, data)
        self.adopt(scratch, digest)
        return digest

    def scratch(self, digest: str) -> Path:
        """A new name for a file that is to become a blob: for `add`, then `adopt`."""
        return self.path(digest).with_name(f".{digest[:8]}-{uuid.uuid4().hex}")

    def add(self, scratch: Path, data: bytes | memoryview) -> None:
        """Writes on at the end of such a file. Raises `StorageFull`; nothing is left of it then."""
        with self._writing(scratch):
            if not scratch.parent.exists():
                scratch.parent.mkdir(exist_ok=True)
                _sync_folder(self.folder)
            with scratch.open("ab") as file:
                file.write(data)

    def adopt(self, scratch: Path, digest: str) -> None:
        """Puts a file whose bytes have this digest in its place, once it is on disk. Raises as `add` does."""
        target = self.path(digest)
        with self._writing(scratch):
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            crash.at("blob.half")
            scratch.replace(target)
            _sync_folder(target.parent)
            crash.at("blob.after")

    @contextmanager
    def _writing(self, scratch: Path) -> Generator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise StorageFull(f"cannot write blob {scratch.name[1:9]} under {self.folder}: {error.strerror}") from error

    def _holds(self, target: Path, data: bytes | memoryview) -> bool:
        """Whether the file is there and whole: one that was damaged is written anew."""
        try:
            if target.stat().st_size != len(data):
                return False
            with target.open("rb") as file:
                for at in range(0, len(data), COMPARE_BYTES):
                    if file.read(COMPARE_BYTES) != data[at : at + COMPARE_BYTES]:
                        return False
        except FileNotFoundError:
            return False
        return True

    def piece(self, digest: str, at: int, size: int) -> tuple[int, bytes]:
        """How large a blob is, and up to `size` bytes of it from `at` on. Unchecked: whoever has all of it can check.

        Raises:
            NotFound: no such blob.
            BlobCorrupt: the disk fails.
        """
        try:
            with self.path(digest).open("rb") as file:
                whole = os.fstat(file.fileno()).st_size
                file.seek(min(at, whole))
                return whole, file.read(size)
        except FileNotFoundError:
            raise NotFound(f"no blob {digest} under {self.folder}") from None
        except OSError as error:
            raise BlobCorrupt(f"blob {digest} under {self.folder} cannot be read: {error.strerror}") from error

    def get(self, digest: str) -> bytes:
        """The bytes of a blob, checked against their name.

        Raises:
            NotFound: no such blob.
            BlobCorrupt: the file was damaged, or the disk fails.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {digest} under {self.folder}") from None
        except OSError as error:
            raise BlobCorrupt(f"blob {digest} under {self.folder} cannot be read: {error.strerror}") from error
        if digest_of(data) != digest:
            raise BlobCorrupt(f"blob {digest} under {self.folder} does not match its digest: restore it or delete it")
        return data


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
