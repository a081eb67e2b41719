"""The durable log: SQLite in WAL mode, one row per message. Consumer groups' offsets are written in the same commit.

Offsets start at 1 and count all topics together without gaps. Reading several topics therefore gives one order, and a
missing row can be detected. A message id is unique in its topic: a second append returns the first one's offset.
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
"""Version of the file's layout. A log of another version is refused."""

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
    """The file is damaged, or is not a log of this version."""


class LogUnavailable(LogFormatError):
    """The log cannot be read or written, but the file is sound and the disk is not full. The error may be temporary."""


class Record(msgspec.Struct, frozen=True):
    """One logged message: its offset, and the envelope's bytes as they were published."""

    offset: int
    topic: str
    id: str
    envelope: bytes


class Append(msgspec.Struct, frozen=True):
    """A message to append: `envelope` are the bytes as published."""

    topic: str
    id: str
    envelope: bytes


class Mark(msgspec.Struct, frozen=True):
    """A group's progress: all messages of the topic up to `committed` are acknowledged, and so are those in `above`."""

    group: str
    topic: str
    committed: int
    above: tuple[int, ...]


class Log:
    """One log file. Not thread-safe: the hub owns the one that is written; readers open their own with ``readonly``.

    Raises:
        StorageFull: there is no space to create it.
        LogUnavailable: it cannot be opened, for a reason other than its content or space.
        LogFormatError: there is no such file to read, or it is not a log of this version.
    """

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
        """Creates the tables unless the log is read-only. Returns the row with the format, or None."""
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
        """Opens a log in a read-only folder, where SQLite cannot create its shared-memory file.

        If a killed hub left a write-ahead log, both files are copied to a temporary folder and opened there. Otherwise
        the file is opened in place as immutable.
        """
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
        """Returns the exception to raise for an SQLite error, chosen by its cause."""
        if not readonly and is_for_lack_of_space(error, self.path.parent):
            return StorageFull(f"cannot {doing} {self.path}: {error}: free space")
        if (do := UNAVAILABLE.get(primary_code(error))) is not None:
            name = getattr(error, "sqlite_errorname", "SQLite error")
            return LogUnavailable(f"cannot {doing} {self.path}: {error} ({name}): {do}")
        if doing == "open":
            return LogFormatError(f"{self.path} is not a log: {error}")
        return LogFormatError(f"{self.path} is damaged: {error}: see selu doctor")

    def close(self) -> None:
        """Closes the file and removes the temporary copy, if there is one."""
        self._db.close()
        self._drop_copy()

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()

    def write(self, appends: Sequence[Append], marks: Iterable[Mark] = ()) -> list[tuple[int, bool]]:
        """Appends messages and stores groups' progress in one commit, which is on disk when this returns.

        Returns (offset, new) for each append; ``new`` is False if the id was already in the topic.

        Raises:
            StorageFull: there is no space; nothing of the batch was written.
            LogUnavailable: nothing was written, for a reason other than space.
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
        # Not INSERT OR IGNORE: an ignored insert still uses up an offset, and a gap must mean a lost message.
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
        """Returns at most `limit` messages with offsets above `after`, oldest first. `topics=None` means all topics.

        Raises:
            LogFormatError: the file is damaged.
            LogUnavailable: it cannot be read, for another reason.
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
        """Returns the newest offset, 0 for an empty log."""
        return next(self._rows('SELECT COALESCE(MAX("offset"), 0) FROM messages'))[0]

    def places(self) -> Iterator[tuple[str, int]]:
        """Yields topic and offset of every message, sorted by topic and then by offset."""
        yield from self._rows('SELECT topic, "offset" FROM messages ORDER BY topic, "offset"')

    def marks(self) -> list[Mark]:
        """Returns the progress of every group."""
        above: dict[tuple[str, str], list[int]] = {}
        for name, topic, offset in self._rows('SELECT name, topic, "offset" FROM acknowledged'):
            above.setdefault((name, topic), []).append(offset)
        return [
            Mark(name, topic, offset, tuple(above.get((name, topic), ())))
            for name, topic, offset in self._rows('SELECT name, topic, "offset" FROM committed')
        ]

    # -- maintenance, while no hub has the log open

    def problems(self) -> list[str]:
        """Returns the problems that SQLite's integrity check and a check for missing offsets find, worst first."""
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
        """Resets groups beyond `tail` to it. Needed after the log was replaced by an older copy of itself."""
        self._db.execute('DELETE FROM acknowledged WHERE "offset" > ?', (tail,))
        self._db.execute('UPDATE committed SET "offset" = ? WHERE "offset" > ?', (tail, tail))

    def compact(self) -> None:
        """Rewrites the file without free pages and empties the write-ahead log. Needs free space of the log's size.

        Raises:
            StorageFull: there is not enough space; the log is unchanged.
            LogFormatError: it failed for another reason; the log is unchanged.
        """
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed("compact", error) from error
