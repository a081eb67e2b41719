"""The private folder of a run's sockets and keys: its possible places, and its creation."""

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runtime.paths import RunFolderError

SOCKET_BYTES = 107
"""The longest path of a Unix socket."""

_LONGEST = "hub"
"""The longest name of a hub's socket in the folder."""
_PROBE = "try"


def places(name: str) -> list[Path]:
    """Returns the possible paths of a private folder of this name, the best first: in XDG_RUNTIME_DIR if this user
    owns it, then in the folders for temporary files."""
    found: dict[Path, None] = {}
    for base in _bases():
        folder = base / name
        if len(os.fsencode(folder / _LONGEST)) <= SOCKET_BYTES:
            found[folder] = None
    return list(found)


def _bases() -> Iterator[Path]:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # It belongs to another user after su or sudo, and is missing in cron and containers. A relative one is invalid.
    if runtime.is_absolute() and _usable(runtime) and runtime.stat().st_uid == os.getuid():
        yield runtime
    with suppress(OSError):  # there may be no folder for temporary files
        temporary = Path(tempfile.gettempdir()).absolute()
        if _usable(temporary):
            yield temporary
    if _usable(Path("/tmp")):
        yield Path("/tmp")


def _usable(folder: Path) -> bool:
    try:
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False


def no_place() -> RunFolderError:
    """Returns the error for the case that no folder has a short enough path."""
    return RunFolderError(
        f"no folder for sockets: set XDG_RUNTIME_DIR to a folder of your own whose path has under {SOCKET_BYTES - 30} "
        "bytes"
    )


def make(name: str) -> Path:
    """Creates or empties the private folder of this name in the first place that supports sockets.

    Raises:
        RunFolderError: no place supports sockets, or the path belongs to another user.
    """
    failures: list[str] = []
    for folder in places(name):
        try:
            own(folder)
            for left in folder.iterdir():
                left.unlink()
            _try_socket(folder / _PROBE)
        except OSError as error:
            failures.append(f"{folder}: {error.strerror or error}")
        else:
            return folder
    if failures:
        raise RunFolderError(f"no folder for sockets ({'; '.join(failures)}): set XDG_RUNTIME_DIR to another folder")
    raise no_place()


def own(folder: Path) -> None:
    """Creates the folder if it is missing, and restricts it to this user (mode 0700).

    Raises:
        RunFolderError: the path belongs to another user or is a symbolic link.
        OSError: it cannot be created.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RunFolderError(f"{folder} belongs to another user: set XDG_RUNTIME_DIR to a folder of your own")
    folder.chmod(0o700)


def _try_socket(path: Path) -> None:
    """Raises `OSError` if the file system does not support sockets."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        tried.bind(os.fsencode(path))
    path.unlink()


def remove(folder: Path) -> None:
    """Removes the folder and its files if it belongs to this user. Errors are ignored."""
    with suppress(OSError):
        if folder.lstat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
