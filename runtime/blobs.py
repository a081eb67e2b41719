"""Content-addressed files: frames and adapters, named by sha256, on disk before anything names them."""

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
"""How much of a blob that is there already is compared at once."""


class BlobCorrupt(ProtocolError):
    """A blob's bytes no longer match its name. Never returned as data."""

    code = "blob_corrupt"


class Stored(NamedTuple):
    """A blob as it lies there. ``touched`` changes whenever somebody puts it, again or for the first time."""

    digest: str
    size: int
    touched: int


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
            StorageFull: there is no space for it; nothing is left behind.
            StorageFailed: it cannot be written for another reason; nothing is left behind.
        """
        if len(data) > limits.BLOB_BYTES:
            raise TooLarge(f"a blob of {len(data)} bytes is over the limit of {limits.BLOB_BYTES}")
        digest = digest_of(data)
        target = self.path(digest)
        scratch = self.scratch(digest)
        with self._writing(scratch):
            if self._holds(target, data) and self._touch(target):
                sync_folder(target.parent)  # whoever wrote it may have died before this
                return digest
        self.add(scratch, data)
        self.adopt(scratch, digest)
        return digest

    def scratch(self, digest: str) -> Path:
        """A new name for a file that is to become a blob: for `add`, then `adopt`."""
        return self.path(digest).with_name(f".{digest[:8]}-{uuid.uuid4().hex}")

    def add(self, scratch: Path, data: bytes | memoryview) -> None:
        """Writes on at the end of such a file. Raises as `put` does; nothing is left of it then."""
        with self._writing(scratch):
            if not scratch.parent.exists():
                scratch.parent.mkdir(exist_ok=True)
                sync_folder(self.folder)
            with scratch.open("ab") as file:
                file.write(data)

    def adopt(self, scratch: Path, digest: str) -> None:
        """Puts a file whose bytes have this digest in its place, once it is on disk. Raises as `add` does."""
        target = self.path(digest)
        with self._writing(scratch):
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            crash.at("blob.half")
            with self._held("shared"):  # `drop` must not take what is put there now for what it looked at
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

    # -- letting go

    def entries(self) -> Iterator[Stored]:
        """Every blob there is, in no order. One that goes meanwhile is left out."""
        for path in self._files():
            if _NAME.fullmatch(path.name) and path.name[:2] == path.parent.name:
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue
                yield Stored(path.name, found.st_size, found.st_mtime_ns)

    def halves(self) -> list[Path]:
        """What killed processes left of blobs they were writing. Only for a store that nobody writes to."""
        return sorted(path for path in self._files() if _HALF.fullmatch(path.name))

    def drop(self, stored: Stored) -> bool:
        """Deletes a blob unless somebody has put it again since it was looked at; returns whether it is gone."""
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
        """Marks a blob that is there as put just now; False where it has gone meanwhile."""
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
