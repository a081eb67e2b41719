"""Atomic replacement of files, also if the process is killed or the machine loses power.

The new content is written to a temporary file in the same folder, ``.NAME.TOKEN.part``, and synced before the file is
renamed; then the folder is synced. `selu doctor` finds the temporary files of killed processes.
"""

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEW = 0o666
"""The mode of a new file, before the umask is applied."""


def replace_file(file: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replaces the content of a file atomically. Blocking: it waits for the disk.

    ``mode`` is the file's mode. By default an existing file keeps its mode, and a new file gets 0666 less the umask.

    Raises:
        OSError: the file cannot be written. It keeps its former content, unless only the folder's sync failed. The
            temporary file is removed.
    """
    with temporary_file(file, data, mode=mode) as scratch:
        scratch.replace(file)
        sync_folder(file.parent)


@contextmanager
def temporary_file(file: Path, data: bytes, *, mode: int | None = None) -> Generator[Path]:
    """Writes and syncs a temporary file beside ``file``, which the caller renames or links to it; see `replace_file`.

    On exit, the temporary file is removed if it was not renamed.

    Raises:
        OSError: the file cannot be written.
    """
    kept = None if mode is not None else _mode(file)
    scratch = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    wanted = next((one for one in (mode, kept) if one is not None), _NEW)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, wanted)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            if kept is not None:
                with suppress(PermissionError):  # a file system without permissions
                    os.fchmod(descriptor, kept)  # `os.open` applied the umask
            opened.write(data)
            opened.flush()
            os.fsync(descriptor)
        yield scratch
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def _mode(file: Path) -> int | None:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Fsyncs a folder. Does nothing on network file systems that can only sync files.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
