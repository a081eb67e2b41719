"""The log keeps what it acknowledged, once, in order."""

import errno
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import StorageFull
from runtime import database
from runtime import log as log_module
from runtime.log import Append, Log, LogFormatError, LogUnavailable, Mark


def append(topic: str, id: str, data: bytes = b"x") -> Append:
    return Append(topic, id, data)


def test_messages_come_back_in_order_by_topic(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write([append("a", "1"), append("b", "1"), append("a", "2")])
    assert [(r.offset, r.topic, r.id) for r in log.read()] == [(1, "a", "1"), (2, "b", "1"), (3, "a", "2")]
    assert [r.id for r in log.read(topics=["a"], after=1)] == ["2"]
    assert log.tail() == 3
    assert list(log.places()) == [("a", 1), ("a", 3), ("b", 2)]
    log.close()


def test_the_same_id_on_a_topic_is_one_message(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert log.write([append("a", "1", b"first")]) == [(1, True)]
    (again, new), (other, fresh) = log.write([append("a", "1", b"second"), append("b", "1", b"other")])
    assert (again, new, fresh) == (1, False, True)
    assert other > 1
    assert [r.envelope for r in log.read(topics=["a"])] == [b"first"]
    log.close()


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=5), max_size=6))
def test_reopening_gives_the_log_of_the_reference(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int]]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    reference: list[tuple[str, int]] = []
    for batch in batches:
        log = Log(path)
        results = log.write([append(topic, str(id)) for topic, id in batch])
        for item, (_, new) in zip(batch, results, strict=True):
            assert new is (item not in reference)
            if new:
                reference.append(item)
        log.close()
    log = Log(path)
    found = log.read()
    assert [(r.topic, int(r.id)) for r in found] == reference
    assert [r.offset for r in found] == sorted({r.offset for r in found})
    log.close()


def test_marks_survive_and_forget_what_they_cover(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write([], [Mark("g", "a", 2, (5, 7))])
    log.write([], [Mark("g", "a", 5, (9,))])
    log.close()
    log = Log(tmp_path / "log")
    assert log.marks() == [Mark("g", "a", 5, (7, 9))]
    log.close()


def test_a_file_that_is_no_log_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"this is not a database, and longer than a header would be" * 10)
    with pytest.raises(LogFormatError, match="is not a log"):
        Log(path)


def test_a_log_of_another_format_is_refused(tmp_path: Path) -> None:
    Log(tmp_path / "log").close()
    db = sqlite3.connect(tmp_path / "log")
    db.execute("UPDATE meta SET value = '99'")
    db.commit()
    db.close()
    with pytest.raises(LogFormatError, match="format 99"):
        Log(tmp_path / "log")


def test_a_full_disk_writes_nothing_and_says_so(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write([append("a", "1")])
    # The log's own limit stands for a full disk: SQLite meets both as a failed write.
    log._db.execute("PRAGMA max_page_count=20")  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StorageFull, match="free space"):
        log.write([append("a", str(i), b"y" * 4000) for i in range(2, 100)])
    assert [r.id for r in log.read()] == ["1"]
    log._db.execute("PRAGMA max_page_count=100000")  # pyright: ignore[reportPrivateUsage]
    assert log.write([append("a", "2")]) == [(2, True)]
    log.close()


def test_reading_beside_a_writer_needs_an_existing_log(tmp_path: Path) -> None:
    with pytest.raises(LogFormatError, match="no log at"):
        Log(tmp_path / "missing", readonly=True)
    writer = Log(tmp_path / "log")
    writer.write([append("a", "1")])
    reader = Log(tmp_path / "log", readonly=True)
    assert [r.id for r in reader.read()] == ["1"]
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    "name",
    ["lr 2e-5 #1", "what if?", "100%25 data", "50%", "a&mode=memory", "ü\u0308", "~", "it's", "semi;colon", "b\\c"],
)
def test_a_log_is_in_its_own_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    for folder in (tmp_path / name, tmp_path / f"{name}2"):
        folder.mkdir()
        log = Log(folder / "log.sqlite")
        assert log.write([append("rounds", folder.name)]) == [(1, True)]
        log.close()
        reader = Log(folder / "log.sqlite", readonly=True)
        assert [record.id for record in reader.read()] == [folder.name]
        reader.close()
        assert (folder / "log.sqlite").exists()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}2"}


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_X"
    return error


class Failing:
    """A connection whose every statement fails alike."""

    in_transaction = False

    def __init__(self, error: sqlite3.Error) -> None:
        self._error = error

    def execute(self, *_: object) -> None:
        raise self._error


IOERR_WRITE, READONLY_DIRECTORY, CANTOPEN_ISDIR = 778, 1544, 526


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_IOERR, "the disk or its file system failed"),
        (IOERR_WRITE, "the disk or its file system failed"),
        (sqlite3.SQLITE_CANTOPEN, "is the folder still there"),
        (CANTOPEN_ISDIR, "is the folder still there"),
        (READONLY_DIRECTORY, "read-only"),
        (sqlite3.SQLITE_BUSY, "another program holds it locked"),
    ],
)
def test_what_is_no_lack_of_space_is_never_called_a_full_disk(tmp_path: Path, code: int, said: str) -> None:
    log = Log(tmp_path / "log")
    log.close()
    log._db = Failing(failure(code))  # type: ignore[assignment]
    with pytest.raises(LogUnavailable, match=said):
        log.write([append("a", "1")])
    with pytest.raises(LogUnavailable, match=said):
        log.read()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, IOERR_WRITE, sqlite3.SQLITE_CANTOPEN])
def test_an_input_output_error_for_lack_of_space_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    log = Log(tmp_path / "log")
    log.close()
    log._db = Failing(failure(code))  # type: ignore[assignment]

    def full(**_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(database.tempfile, "TemporaryFile", full)
    with pytest.raises(StorageFull, match="free space"):
        log.write([append("a", "1")])


def test_a_damaged_file_is_told_from_a_failing_disk(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.close()
    log._db = Failing(failure(sqlite3.SQLITE_CORRUPT))  # type: ignore[assignment]
    with pytest.raises(LogFormatError, match="is damaged") as error:
        log.write([append("a", "1")])
    assert not isinstance(error.value, LogUnavailable)


@pytest.mark.parametrize("left", [False, True], ids=["closed", "killed"])
def test_a_log_in_a_folder_that_cannot_be_written_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """A hub that was killed leaves messages in the write-ahead log alone, which a reader must not pass over."""
    writer = Log(tmp_path / "log")
    writer.write([append("a", "1")])
    folder = tmp_path / "copy"
    folder.mkdir()
    if not left:
        writer.close()
    for name in ("log", "log-wal"):
        if (tmp_path / name).exists():
            shutil.copy(tmp_path / name, folder / name)
    if left:
        writer.close()
    connect = database.connect

    def refuse(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
        if path.parent == folder and not immutable:
            raise failure(sqlite3.SQLITE_CANTOPEN)
        return connect(path, mode, immutable=immutable)

    monkeypatch.setattr(log_module, "connect", refuse)
    reader = Log(folder / "log", readonly=True)
    assert [record.id for record in reader.read()] == ["1"]
    reader.close()
