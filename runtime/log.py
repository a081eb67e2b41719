"""The durable log: SQLite in WAL mode, one row a message, consumer groups' offsets beside it in the same commit.

Offsets count all topics together from 1 without a gap, so that reading several topics gives one order and a missing row
shows. A message id is unique in its topic: appending it again returns the first one's offset.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from protocols import limits
from protocols.errors import StorageFull
from runtime import crash
from runtime.database import UNAVAILABLE, connect, is_for_lack_of_space, primary_code

FORMAT = "1"
"""Layout of the file. A log of another format is refused, never guessed at."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    id TEXT NOT NULL,
    envelope BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS by_id ON messages (topic, id);
CREATE INDEX IF NOT EXISTS by_topic ON messages (topic, "offset");
CREATE TABLE IF NOT EXISTS committed (
    name TEXT NOT NULL, topic TEXT NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY (name, topic)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acknowledged (
    name TEXT NOT NULL, topic TEXT NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY (name, topic, "offset")
) WITHOUT ROWID;
"""


class LogFormatError(Exception):
    """The file is not a log of this version, or is damaged."""


class LogUnavailable(LogFormatError):
    """The log cannot be read or written, and neither the file nor a full disk is the cause. It may pass."""


class Record(msgspec.Struct, frozen=True):
    """One logged message: its place, and the envelope's bytes as they were published."""

    offset: int
    topic: str
    id: str
    envelope: bytes


class Append(msgspec.Struct, frozen=True):
    topic: str
    id: str
    envelope: bytes


class Mark(msgspec.Struct, frozen=True):
    """A group's progress: everything of the topic up to `committed` is done, and so are `above`."""

    group: str
    topic: str
    committed: int
    above: tuple[int, ...]


class Log:
    """One log file. Not thread-safe: the hub's writer thread owns one, readers open their own with ``readonly``."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        if readonly and not path.exists():
            raise LogFormatError(f"no log at {path}")
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._db = connect(path, "ro" if readonly else "rwc")
            found = self._begin(readonly)
        except sqlite3.Error as error:
            if not readonly or primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise self._failed("open", error, readonly=readonly) from error
            found = self._open_beside()
        if found != (FORMAT,):
            self.close()
            raise LogFormatError(f"{path} has log format {found and found[0]}, this version reads {FORMAT}")

    def _begin(self, readonly: bool) -> tuple[str] | None:
        """Makes the tables unless they are only read, and returns the format's row."""
        try:
            if not readonly:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_TABLES)
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
            return self._db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.Error:
            self._db.close()
            raise

    def _open_beside(self) -> tuple[str] | None:
        """Opens a log whose folder cannot be written to, where SQLite cannot make the files that readers share: as it
        is, or with the write-ahead log that a killed hub left, as a copy."""
        waiting = self.path.with_name(f"{self.path.name}-wal")
        try:
            if waiting.exists() and waiting.stat().st_size:
                self._copy = tempfile.TemporaryDirectory(prefix="selu-log-")
                for file in (self.path, waiting):
                    shutil.copyfile(file, Path(self._copy.name) / file.name)
                self._db = connect(Path(self._copy.name) / self.path.name, "rw")
            else:
                self._db = connect(self.path, "ro", immutable=True)
            return self._begin(readonly=True)
        except sqlite3.Error as error:
            self._drop_copy()
            raise self._failed("open", error, readonly=True) from error
        except OSError as error:
            self._drop_copy()
            raise LogUnavailable(f"cannot read {self.path}: {error.strerror or error}") from error

    def _failed(self, doing: str, error: sqlite3.Error, *, readonly: bool = False) -> Exception:
        """What is raised for an error of SQLite's: by cause, never all as one."""
        if not readonly and is_for_lack_of_space(error, self.path.parent):
            return StorageFull(f"cannot {doing} {self.path}: {error}: free space")
        if (do := UNAVAILABLE.get(primary_code(error))) is not None:
            name = getattr(error, "sqlite_errorname", "SQLite error")
            return LogUnavailable(f"cannot {doing} {self.path}: {error} ({name}): {do}")
        if doing == "open":
            return LogFormatError(f"{self.path} is not a log: {error}")
        return LogFormatError(f"{self.path} is damaged: {error}: see selu doctor")

    def close(self) -> None:
        self._db.close()
        self._drop_copy()

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()

    def write(self, appends: Sequence[Append], marks: Iterable[Mark] = ()) -> list[tuple[int, bool]]:
        """Appends messages and moves groups in one commit that is on disk when this returns.

        Returns (offset, new) for each append; ``new`` is False where the id was there already.

        Raises:
            StorageFull: nothing of the batch was written.
            LogUnavailable: nothing was written, and space is not the cause.
            LogFormatError: the file is damaged.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [self._append(item) for item in appends]
            for mark in marks:
                self._mark(mark)
            crash.at("commit.half")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):  # SQLite may have rolled back itself
                    self._db.execute("ROLLBACK")
            raise self._failed("write", error) from error
        return results

    def _append(self, item: Append) -> tuple[int, bool]:
        # Looked up first: an INSERT OR IGNORE that is ignored still uses an offset up, and a gap must mean a loss.
        found = self._db.execute('SELECT "offset" FROM messages WHERE topic = ? AND id = ?', (item.topic, item.id))
        if (known := found.fetchone()) is not None:
            return known[0], False
        done = self._db.execute(
            "INSERT INTO messages (topic, id, envelope) VALUES (?, ?, ?)", (item.topic, item.id, item.envelope)
        )
        assert done.lastrowid is not None
        return done.lastrowid, True

    def _mark(self, mark: Mark) -> None:
        key = (mark.group, mark.topic)
        self._db.execute("INSERT OR REPLACE INTO committed VALUES (?, ?, ?)", (*key, mark.committed))
        self._db.execute(
            'DELETE FROM acknowledged WHERE name = ? AND topic = ? AND "offset" <= ?', (*key, mark.committed)
        )
        self._db.executemany("INSERT OR IGNORE INTO acknowledged VALUES (?, ?, ?)", [(*key, at) for at in mark.above])

    def read(
        self, *, after: int = 0, topics: Sequence[str] | None = None, limit: int = limits.BATCH_MESSAGES
    ) -> list[Record]:
        """Messages with offsets above `after`, oldest first, at most `limit`; of all topics where `topics` is None.

        Raises:
            LogFormatError: the file is damaged.
        """
        only = "" if topics is None else f"topic IN ({','.join('?' * len(topics))}) AND "
        statement = (
            f'SELECT "offset", topic, id, envelope FROM messages WHERE {only}"offset" > ? ORDER BY "offset" LIMIT ?'
        )
        return [Record(*row) for row in self._rows(statement, (*(topics or ()), after, limit))]

    def _rows(self, statement: str, parameters: Sequence[str | int] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._failed("read", error, readonly=True) from error

    def tail(self) -> int:
        """The newest offset, 0 for an empty log."""
        return next(self._rows('SELECT COALESCE(MAX("offset"), 0) FROM messages'))[0]

    def places(self) -> Iterator[tuple[str, int]]:
        """Topic and offset of every message, each topic's offsets rising."""
        yield from self._rows('SELECT topic, "offset" FROM messages ORDER BY topic, "offset"')

    def marks(self) -> list[Mark]:
        """Every group's progress."""
        above: dict[tuple[str, str], list[int]] = {}
        for name, topic, offset in self._rows('SELECT name, topic, "offset" FROM acknowledged'):
            above.setdefault((name, topic), []).append(offset)
        return [
            Mark(name, topic, offset, tuple(above.get((name, topic), ())))
            for name, topic, offset in self._rows('SELECT name, topic, "offset" FROM committed')
        ]

    # -- upkeep, while no hub has the log

    def problems(self) -> list[str]:
        """What SQLite's own check and the offsets say is wrong with the file, worst first; empty where it is whole."""
        try:
            said = [row[0] for row in self._db.execute("PRAGMA integrity_check(10)")]
            rows, first, last = self._db.execute(
                'SELECT COUNT(*), COALESCE(MIN("offset"), 1), COALESCE(MAX("offset"), 0) FROM messages'
            ).fetchone()
        except sqlite3.DatabaseError as error:
            return [str(error)]
        found = [line for line in said if line != "ok"]
        if missing := last - rows:
            found.append(f"{missing} of the offsets 1 to {last} are missing (the first there is {first})")
        return found

    def lower(self, tail: int) -> None:
        """Takes groups that stand beyond `tail` back to it: the log was replaced by an older copy of itself."""
        self._db.execute('DELETE FROM acknowledged WHERE "offset" > ?', (tail,))
        self._db.execute('UPDATE committed SET "offset" = ? WHERE "offset" > ?', (tail, tail))

    def compact(self) -> None:
        """Folds the write-ahead log into the file and gives free pages back. Needs as much free disk as the log has.

        Raises:
            StorageFull: there is no room for it; the log is as it was.
            LogFormatError: it could not for another reason; the log is as it was.
        """
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed("compact", error) from error
