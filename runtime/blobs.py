"""Content-addressed storage: frames and adapter files, named by sha256. `put` returns once the file is on disk."""

import os
import re
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from protocols import limits
from protocols.codec import digest as digest_of
from protocols.errors import NotFound, ProtocolError, StorageFailed, StorageFull, TooLarge
from runtime import crash
from runtime.atomic import sync_folder
from runtime.locks import Mode, lock
from runtime.storage import is_full

COMPARE_BYTES = 1 << 20
"""Size of the pieces in which an existing blob is compared with new bytes."""


class BlobCorrupt(ProtocolError):
    """A blob cannot be read, or its bytes do not match its digest."""

    code = "blob_corrupt"


class Stored(NamedTuple):
    """A stored blob: digest, size in bytes, and ``touched``, a modification time in ns that every `put` updates."""

    digest: str
    size: int
    touched: int


class BlobStore:
    """A folder of blobs, two levels deep. Safe for concurrent processes: a blob is complete or absent.

    `put` fsyncs the file and its folder before it returns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Returns the path of a blob, whether it exists or not. Raises `NotFound` for a malformed digest."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise NotFound(f"{digest!r} is not a blob digest (64 lower-case hex digits)")
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Returns whether the blob exists. Raises `NotFound` for a malformed digest."""
        return self.path(digest).exists()

    def put(self, data: bytes | memoryview) -> str:
        """Stores the bytes and returns their digest.

        Raises:
            TooLarge: over `limits.BLOB_BYTES`.
            StorageFull: there is no space; the partial file is removed.
            StorageFailed: it cannot be written for another reason; the partial file is removed.
        """
        if len(data) > limits.BLOB_BYTES:
            raise TooLarge(f"a blob of {len(data)} bytes is over the limit of {limits.BLOB_BYTES}")
        digest = digest_of(data)
        target = self.path(digest)
        scratch = self.scratch(digest)
        with self._writing(scratch):
            if self._holds(target, data) and self._touch(target):
                sync_folder(target.parent)  # its writer may have died before it did this
                return digest
        self.add(scratch, data)
        self.adopt(scratch, digest)
        return digest

    def scratch(self, digest: str) -> Path:
        """Returns a new name for the temporary file of a future blob, for `add` and then `adopt`."""
        return self.path(digest).with_name(f".{digest[:8]}-{uuid.uuid4().hex}")

    def add(self, scratch: Path, data: bytes | memoryview) -> None:
        """Appends to such a temporary file. Raises as `put` does, and then removes the file."""
        with self._writing(scratch):
            if not scratch.parent.exists():
                scratch.parent.mkdir(exist_ok=True)
                sync_folder(self.folder)
            with scratch.open("ab") as file:
                file.write(data)

    def adopt(self, scratch: Path, digest: str) -> None:
        """Fsyncs a temporary file and renames it to its digest, which the caller has verified. Raises as `add` does."""
        target = self.path(digest)
        with self._writing(scratch):
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            crash.at("blob.half")
            with self._held("shared"):  # keeps `drop` from deleting the new file
                scratch.replace(target)
            sync_folder(target.parent)
            crash.at("blob.after")

    @contextmanager
    def _writing(self, scratch: Path) -> Generator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            kind = StorageFull if is_full(error) else StorageFailed
            raise kind(f"cannot write blob {scratch.name[1:9]} under {self.folder}: {error.strerror}") from error

    def _holds(self, target: Path, data: bytes | memoryview) -> bool:
        """Returns whether the file exists with exactly these bytes; a damaged file is written again."""
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
        """Returns the size of a blob and up to `size` bytes from offset `at`. The bytes are not verified.

        Raises:
            NotFound: no such blob.
            BlobCorrupt: the file cannot be read.
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
        """Returns the bytes of a blob, verified against its digest.

        Raises:
            NotFound: no such blob.
            BlobCorrupt: the file is damaged or cannot be read.
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

    # -- listing and deletion

    def entries(self) -> Iterator[Stored]:
        """Yields all blobs in no particular order, without those that are deleted meanwhile."""
        for path in self._files():
            if _NAME.fullmatch(path.name) and path.name[:2] == path.parent.name:
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue
                yield Stored(path.name, found.st_size, found.st_mtime_ns)

    def halves(self) -> list[Path]:
        """Returns the temporary files of killed processes. Only valid while no process writes to the store."""
        return sorted(path for path in self._files() if _HALF.fullmatch(path.name))

    def drop(self, stored: Stored) -> bool:
        """Deletes a blob unless a `put` has updated it since `entries` returned it. Returns whether it was deleted."""
        path = self.path(stored.digest)
        with self._held("exclusive"):
            try:
                if path.stat().st_mtime_ns != stored.touched:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    @property
    def _lock(self) -> Path:
        return self.folder / ".lock"

    @contextmanager
    def _held(self, mode: Mode) -> Generator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)

    def _touch(self, target: Path) -> bool:
        """Updates the modification time of an existing blob; returns False if it was deleted meanwhile."""
        with self._held("shared"):
            try:
                os.utime(target)
            except FileNotFoundError:
                return False
        return True

    def _files(self) -> Iterator[Path]:
        for path in self.folder.iterdir():
            if path.is_dir():
                yield from path.iterdir()
            else:
                yield path


_NAME = re.compile("[0-9a-f]{64}")
_HALF = re.compile("\\.[0-9a-f]{8}-[0-9a-f]{32}")
