"""Waiting for space: an attempt is made again until there is some, and a process knows that it waits."""

import errno
import os
import stat
from pathlib import Path

import anyio
import pytest

from protocols.errors import StorageFailed, StorageFull
from runtime import blobs, storage
from runtime.blobs import BlobStore
from runtime.storage import Waits, is_full, when_there_is_room

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Waits:
    monkeypatch.setattr(storage, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(storage, "HERE", Waits())
    return storage.HERE


class Disk:
    """Takes what is written once it was tried so often; notes whether the process was known to wait meanwhile."""

    def __init__(self, tries: int, error: Exception) -> None:
        self.left = tries
        self.error = error
        self.known: list[bool] = []

    async def write(self) -> str:
        self.known.append(bool(storage.HERE))
        if self.left:
            self.left -= 1
            raise self.error
        return "written"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no"), StorageFull("no"), OSError(errno.EFBIG, "no")])
async def test_an_attempt_is_made_until_there_is_space_and_the_wait_is_known_while_it_lasts(error: Exception) -> None:
    disk = Disk(3, error)
    with anyio.fail_after(10):
        assert await when_there_is_room(disk.write) == "written"
    assert disk.known == [False, True, True, True] and not storage.HERE
    (waited,) = storage.HERE.take_over()
    assert waited.why == str(error) and not storage.HERE.take_over()


async def test_what_another_process_writes_is_no_wait_of_this_one() -> None:
    disk = Disk(3, StorageFull("no"))
    with anyio.fail_after(10):
        assert await when_there_is_room(disk.write, own=False) == "written"
    assert not any(disk.known) and not storage.HERE.take_over()


@pytest.mark.parametrize("own", [True, False])
async def test_another_failure_and_one_that_lasts_too_long_are_the_callers(own: bool) -> None:
    with anyio.fail_after(10):
        with pytest.raises(PermissionError):
            await when_there_is_room(Disk(1, PermissionError("no")).write, own=own)
        with pytest.raises(StorageFull):
            await when_there_is_room(Disk(9, StorageFull("no")).write, seconds=-1, own=own)
    assert not storage.HERE


def test_waits_that_overlap_are_one() -> None:
    now = [10.0]
    waits = Waits(clock=lambda: now[0])
    with waits.one("first"):
        now[0] = 11.0
        with waits.one("second"):
            now[0] = 12.0
        assert waits and not waits.take_over()
        now[0] = 15.0
    assert not waits
    assert [(w.seconds, w.why) for w in waits.take_over()] == [(5.0, "first")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, StorageFailed),
        (errno.EROFS, StorageFailed),
        (errno.ENOENT, StorageFailed),
    ],
)
def test_a_blob_that_cannot_be_written_is_waited_for_only_where_space_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    store = BlobStore(tmp_path)

    def replace(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(kind) as error:
        store.put(b"frame")
    assert is_full(error.value) == (kind is StorageFull)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_network_file_system_that_syncs_no_folders_takes_blobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(blobs.os, "fsync", fsync)
    store = BlobStore(tmp_path)
    assert store.get(store.put(b"frame")) == b"frame"
