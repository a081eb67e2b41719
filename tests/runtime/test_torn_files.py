"""What a crash of the machine may leave: a torn tail of the log, half a blob. Neither is ever taken for whole."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.codec import digest
from protocols.errors import NotFound
from runtime import blobs as blobs_module
from runtime.blobs import BlobCorrupt, BlobStore
from runtime.log import Append, Log, LogFormatError, Mark

BATCH, BATCHES = 3, 12


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[int]]]:
    """A log as it lies on the disk in the midst of its work, and how large its write-ahead log was after each batch."""
    folder = tmp_path_factory.mktemp("crashed")
    log = Log(folder / "log")
    sizes = [_wal(folder).stat().st_size]
    for batch in range(BATCHES):
        ids = range(batch * BATCH, (batch + 1) * BATCH)
        log.write([Append("a", str(id), bytes(500)) for id in ids], [Mark("g", "a", batch * BATCH, ())])
        sizes.append(_wal(folder).stat().st_size)
    yield folder, sizes
    log.close()


def _wal(folder: Path) -> Path:
    return folder / "log-wal"


def torn(crashed: Path, folder: Path, cut: int, junk: bytes = b"") -> list[int]:
    """The ids found in a copy of the log whose write-ahead log ends at byte `cut`, followed by junk."""
    for name in ("log", "log-wal"):
        shutil.copy(crashed / name, folder / name)
    _wal(folder).write_bytes(_wal(folder).read_bytes()[:cut] + junk)
    log = Log(folder / "log")
    try:
        found = [int(record.id) for record in log.read()]
        (mark,) = log.marks() or [Mark("g", "a", 0, ())]
        assert mark.committed <= len(found), "a group is never ahead of its messages"
        log.write([Append("a", "next", b"")])
        return found
    finally:
        log.close()


@pytest.mark.parametrize("junk", [b"", b"\0" * 700, b"junk" * 3000], ids=["nothing", "zeros", "junk"])
def test_what_was_acknowledged_survives_whatever_comes_after_it(
    crashed: tuple[Path, list[int]], tmp_path: Path, junk: bytes
) -> None:
    folder, sizes = crashed
    for batches in (1, BATCHES // 2, BATCHES):
        (tmp_path / str(batches)).mkdir()
        assert torn(folder, tmp_path / str(batches), sizes[batches], junk) == list(range(batches * BATCH))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
def test_a_batch_that_is_torn_is_gone_whole_and_those_before_it_are_there(
    crashed: tuple[Path, list[int]], tmp_path: Path, share: float
) -> None:
    folder, sizes = crashed
    cut = int(share * sizes[-1])
    whole = max((batch for batch, size in enumerate(sizes) if size <= cut), default=0)
    assert torn(folder, tmp_path, cut) == list(range(whole * BATCH))


def test_a_log_that_is_damaged_in_the_middle_is_named_and_not_guessed_at(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write([Append("a", str(id), bytes(900)) for id in range(60)])
    log.close()
    whole = (tmp_path / "log").read_bytes()
    for page in range(1, len(whole) // 4096):
        spoilt = bytearray(whole)
        spoilt[4096 * page : 4096 * (page + 1)] = b"\xff" * 4096
        (tmp_path / "log").write_bytes(bytes(spoilt))
        with pytest.raises(LogFormatError, match=r"is not a log|is damaged"):
            log = Log(tmp_path / "log")
            try:
                assert [record.id for record in log.read()] == [str(id) for id in range(60)]
                log.write([Append("a", "next", b"")])
                raise LogFormatError(f"page {page} is not read by this: is damaged")
            finally:
                log.close()


def test_half_a_blob_is_an_error_and_never_data(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    data = bytes(range(256)) * 40
    name = store.put(data)
    for cut in (0, 1, len(data) // 2, len(data) - 1):
        store.path(name).write_bytes(data[:cut])
        with pytest.raises(BlobCorrupt, match="does not match"):
            store.get(name)
    store.path(name).write_bytes(data[:-1] + b"\0")
    with pytest.raises(BlobCorrupt):
        store.get(name)


@pytest.mark.parametrize("left", [b"", b"half", b"x" * 10_240], ids=["nothing", "half", "other bytes"])
def test_a_torn_blob_is_whole_again_when_somebody_stores_it_again(tmp_path: Path, left: bytes) -> None:
    store = BlobStore(tmp_path)
    data = bytes(range(256)) * 40
    name = store.put(data)
    store.path(name).write_bytes(left)
    assert store.put(data) == name
    assert store.get(name) == data


def test_what_a_killed_writer_left_is_under_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*point: str) -> None:
        if point == ("blob.half",):
            raise Killed

    monkeypatch.setattr(blobs_module.crash, "at", kill)
    with pytest.raises(Killed):
        BlobStore(tmp_path).put(b"data")
    monkeypatch.undo()
    again = BlobStore(tmp_path)
    with pytest.raises(NotFound):
        again.get(digest(b"data"))
    assert again.get(again.put(b"data")) == b"data"


def test_a_folder_that_is_new_is_on_disk_before_its_first_blob_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(blobs_module, "sync_folder", synced.append)
    store = BlobStore(tmp_path)
    name = store.put(b"data")
    assert synced == [tmp_path, store.path(name).parent]
    store.put(b"data")
    assert synced[2:] == [store.path(name).parent], "whoever wrote it may have died before this"
