"""SQLite helpers: opening a file by any path, and the causes of errors."""

import os
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote

from runtime.storage import is_full

UNAVAILABLE = {
    sqlite3.SQLITE_IOERR: "the disk or its file system failed, not the file: see what the system says of it (dmesg)",
    sqlite3.SQLITE_CANTOPEN: "is the folder still there, and may it be written to?",
    sqlite3.SQLITE_READONLY: "the file, its folder or its file system is read-only",
    sqlite3.SQLITE_PERM: "the file, its folder or its file system is read-only",
    sqlite3.SQLITE_BUSY: "another program holds it locked: end that one",
    sqlite3.SQLITE_LOCKED: "another program holds it locked: end that one",
    sqlite3.SQLITE_PROTOCOL: "its file system cannot lock files: use a folder on a local disk",
    sqlite3.SQLITE_NOLFS: "its file system cannot hold files of this size",
}
"""SQLite error codes that an undamaged file can cause, each with the remedy."""

_MAYBE_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""Codes that SQLite may also return if a quota is used up, or if there is no space for a new file beside the log."""

_PROBE_BYTES = 64 << 10


def database_uri(path: Path, mode: str, *, immutable: bool = False) -> str:
    """Returns the SQLite URI of a file, with special characters escaped. ``mode`` is SQLite's: ro, rw or rwc. An
    ``immutable`` file must not change while it is open."""
    unchanged = "&immutable=1" if immutable else ""
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}{unchanged}"


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Opens a database file in autocommit mode. Raises `sqlite3.Error`."""
    uri = database_uri(path, mode, immutable=immutable)
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


def primary_code(error: sqlite3.Error) -> int:
    """Returns SQLite's primary result code; SQLITE_ERROR for an error of Python's module, which has no code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_for_lack_of_space(error: sqlite3.Error, folder: Path) -> bool:
    """Returns whether a write in this folder failed for lack of space."""
    code = primary_code(error)
    return code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and _is_full(folder))


def _is_full(folder: Path) -> bool:
    """Returns whether a test write fails for lack of space. SQLite does not report the system's error number."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return is_full(error)
    return False
