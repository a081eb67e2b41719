"""SQLite files: opened by their path whatever is in it, and failures told apart by their cause."""

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
"""Errors of SQLite that a sound file can cause, each with what to do."""

_MAYBE_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite also says where a quota is used up, or where no file can be made beside the log for lack of space."""

_PROBE_BYTES = 64 << 10


def database_uri(path: Path, mode: str, *, immutable: bool = False) -> str:
    """The URI under which SQLite opens this file and no other, whatever its name has in it. ``mode`` is SQLite's own:
    ro, rw or rwc. An ``immutable`` file is one that nobody changes meanwhile."""
    unchanged = "&immutable=1" if immutable else ""
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}{unchanged}"


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Opens a database file; every statement is its own transaction unless one is begun."""
    uri = database_uri(path, mode, immutable=immutable)
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code; that of an error of the module's own, which has none, is SQLITE_ERROR."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_for_lack_of_space(error: sqlite3.Error, folder: Path) -> bool:
    """Whether a write in this folder failed because there is no room for it."""
    code = primary_code(error)
    return code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and _is_full(folder))


def _is_full(folder: Path) -> bool:
    """Whether nothing can be written here for lack of space. SQLite does not tell which system error it met."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return is_full(error)
    return False
