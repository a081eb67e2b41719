"""Files that are replaced whole or not at all, also where the process is killed or the machine loses power.

The new content goes into a temporary file in the same folder, ``.NAME.TOKEN.part``, and reaches the disk before the
file gets its name; then the folder's entry reaches the disk too. `selu doctor` finds what a killed process left.
"""

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEW = 0o666
"""The mode of a file that is new, before the umask."""


def replace_file(file: Path, data: bytes, *, mode: int | None = None) -> None:
    """Makes these bytes the content of a file. Blocking: it waits for the disk.

    ``mode`` is the file's permissions. By default it keeps those that it has, and a new file has what the umask allows.

    Raises:
        OSError: it cannot be written. The former content stays, and no temporary file.
    """
    with temporary_file(file, data, mode=mode) as scratch:
        scratch.replace(file)
        sync_folder(file.parent)


@contextmanager
def temporary_file(file: Path, data: bytes, *, mode: int | None = None) -> Generator[Path]:
    """A temporary file beside ``file`` that holds these bytes, on disk already, to be renamed or linked to it; see
    `replace_file`. It is removed at the end where it still has its temporary name.

    Raises:
        OSError: it cannot be written.
    """
    kept = None if mode is not None else _mode(file)
    scratch = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    wanted = next((one for one in (mode, kept) if one is not None), _NEW)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, wanted)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            if kept is not None:
                with suppress(PermissionError):  # a file system without permissions
                    os.fchmod(descriptor, kept)  # the umask may have taken some
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
    """Waits until the folder's entries are on disk. Does nothing on network file systems that sync files only.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
