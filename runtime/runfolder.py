"""The layout of a run folder: settings, log, blobs, adapters, metrics, report and sockets of a run.

<run>/format          the version of this layout
<run>/lock            locked by the launcher, and by its children until the last of them has ended
<run>/settings.toml   the resolved settings
<run>/log.sqlite      the durable topics
<run>/blobs/          frames and adapter files, by sha256
<run>/adapters/       adapter folders in the layout that engines read
<run>/logs/           one text log per process
<run>/metrics.jsonl   metrics that are not sent as messages
<run>/summary.json    the results, for programs
<run>/report.html     the results, for people
<run>/damaged/        blobs that `selu doctor --repair` moved away
<run>/endpoints       the hub's endpoints while the run is up, and the private folder of its sockets and keys
<run>/sockets         symbolic link to that folder, if the file system supports links
"""

import errno
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runtime.atomic import replace_file
from runtime.listening import Listening
from runtime.locks import lock
from runtime.paths import RunFolderError, given_path

FORMAT = 1
"""Version of the layout. It increases if an older launcher cannot continue a newer folder, or the other way round."""

_NUMBERS = 1000
"""Upper limit of the numbers that `create_numbered` appends to a name."""
_BELOW = ("*/format", "trials/*/*/*/format")
"""Glob patterns that find runs in a folder of runs, and in an experiment's folder."""
_MARK = "selu run folder, format"


class RunFolder(Listening):
    """The paths of one run. The constructor changes nothing on disk.

    Raises:
        RunFolderError: the path cannot be resolved.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            self.path = given_path(path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long or with a zero byte
            raise RunFolderError(f"{path} cannot be a run folder: {error}") from error
        super().__init__(self.path)
        self.format_file = self.path / "format"
        self.lock_file = self.path / "lock"
        self.settings_file = self.path / "settings.toml"
        self.log_file = self.path / "log.sqlite"
        self.blobs = self.path / "blobs"
        self.adapters = self.path / "adapters"
        self.logs = self.path / "logs"
        self.metrics_file = self.path / "metrics.jsonl"
        self.summary_file = self.path / "summary.json"
        self.report_file = self.path / "report.html"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path | str) -> "RunFolder":
        """Creates a new run folder. An existing empty folder is used. If several processes try at once, one succeeds.

        Raises:
            RunFolderError: the folder is not empty, or cannot be created.
        """
        cls.check_new(path)
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            with run.format_file.open("x", encoding="utf-8") as file:
                file.write(f"{_MARK} {FORMAT}\n")
            for folder in (run.blobs, run.adapters, run.logs):
                folder.mkdir(exist_ok=True)
        except FileExistsError:
            cls.check_new(path)  # another process was faster
            raise RunFolderError(
                f"cannot make the run folder {run.path}: its place is taken: give another --run"
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
        return run

    @classmethod
    def create_numbered(cls, path: Path) -> "RunFolder":
        """Creates a new run folder at `path` or, if that exists, with -2, -3, ... appended to its name.

        Raises:
            RunFolderError: it cannot be created.
        """
        cls.check_new(path, numbered=True)
        for number in range(1, _NUMBERS):
            run = cls(path if number == 1 else path.with_name(f"{path.name}-{number}"))
            try:
                run.path.parent.mkdir(parents=True, exist_ok=True)
                run.path.mkdir()  # atomic: only one process succeeds
            except FileExistsError:
                continue
            except OSError as error:
                raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
            return cls.create(run.path)
        raise RunFolderError(
            f"{path} and {_NUMBERS - 2} folders with numbered names after it exist already: give another --run"
        )

    @classmethod
    def check_new(cls, path: Path | str, *, numbered: bool = False) -> None:
        """Checks, without any change on disk, that `create` (or `create_numbered`) is likely to succeed.

        Raises:
            RunFolderError: it would fail.
        """
        run = cls(path)
        place = given_path(path)
        if gone := next((one for one in place.parents if _leads_nowhere(one)), None):
            raise RunFolderError(
                f"cannot make the run folder {place}: {gone} is a link to {gone.readlink()}, which is not there: "
                "mount that disk, or give --run another folder"
            )
        try:
            taken = not numbered and run.path.exists() and any(run.path.iterdir())
            above = _first_there(run.path.parent if numbered else run.path)
            refused = 0 if above.is_dir() else errno.ENOTDIR
            if not refused and not os.access(above, os.W_OK | os.X_OK):
                refused = errno.EACCES
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
        if taken and run.format_file.exists():
            raise RunFolderError(f"{run.path} already holds a run: continue it with --resume {run.path}")
        if taken:
            raise RunFolderError(f"{run.path} is not empty and not a run folder: give --run another folder")
        if refused:
            raise RunFolderError(f"cannot make the run folder {run.path}: {above}: {os.strerror(refused)}")

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """Returns an existing run folder of this layout.

        Raises:
            RunFolderError: it is not a run folder, or another version wrote it.
        """
        run = cls(path)
        try:
            mark = run.format_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            what = "is not a run folder (it has no file named format)" if run.path.is_dir() else "does not exist"
            inside = next((found.parent for pattern in _BELOW for found in sorted(run.path.glob(pattern))), None)
            give = (
                f"give one of the runs in it, such as {inside}" if inside else "give the folder that `selu up` printed"
            )
            raise RunFolderError(f"{run.path} {what}: {give}") from None
        except NotADirectoryError:
            inside = next((above for above in run.path.parents if (above / "format").is_file()), None)
            give = f"give {inside}" if inside else "give the folder that `selu up` printed"
            raise RunFolderError(f"{run.path} is a file, not a run folder: {give}") from None
        except OSError as error:
            raise RunFolderError(f"cannot read {run.format_file}: {error.strerror or error}") from error
        except UnicodeDecodeError:
            raise RunFolderError(f"{run.format_file} is not text: restore it from a copy of the folder") from None
        if mark != f"{_MARK} {FORMAT}":
            raise RunFolderError(
                f"{run.path} was made by another version ({mark!r}; this one reads format {FORMAT}): "
                "continue it with the version that made it, or start a new run"
            )
        return run

    def write_settings(self, text: str) -> None:
        """Replaces the resolved settings atomically."""
        replace_file(self.settings_file, text.encode())

    def log_of(self, instance: str) -> Path:
        """Returns the path of one process's text log."""
        return self.logs / f"{instance}.log"

    def log_size(self) -> int:
        """Returns the size in bytes of the log and its write-ahead log."""
        files = (self.log_file, self.log_file.with_name(f"{self.log_file.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    # -- one launcher at a time ------------------------------------------------------------------

    @contextmanager
    def locked(self, wait_seconds: float = 6.0) -> Generator[int]:
        """Locks the folder for one launcher; yields the lock's file descriptor.

        A child that inherits the descriptor keeps the folder locked until it ends. A run whose launcher was killed can
        therefore not be resumed while its processes still write. They end within seconds, so this waits for the lock.

        Raises:
            RunFolderError: another launcher still holds the lock after `wait_seconds`, or the folder cannot be locked.
        """
        try:
            file = self.lock_file.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written to: {error.strerror or error}") from error
        with file:
            deadline = time.monotonic() + wait_seconds
            while not self._try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    file.seek(0)
                    holder = file.read().strip() or "unknown"
                    raise RunFolderError(
                        f"{self.path} is in use by another launcher (process {holder}): "
                        f"wait for it, stop it with `kill {holder}`, or use another --run"
                    )
                time.sleep(0.05)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield file.fileno()

    def _try_lock(self, descriptor: int) -> bool:
        try:
            return lock(descriptor, "exclusive", wait=False)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be locked: {error.strerror or error}") from error

    def in_use(self) -> bool:
        """Returns whether a launcher, or a process that it left, holds the lock. Needs only read access."""
        try:
            # A shared lock: some file systems allow no other on a file opened for reading.
            with self.lock_file.open("rb") as file:
                return not lock(file.fileno(), "shared", wait=False)
        except OSError:  # there is no lock file, or it cannot be locked: nobody holds it
            return False


def _leads_nowhere(path: Path) -> bool:
    # These return False for a name that is too long; the methods of Path raise.
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114


def _first_there(path: Path) -> Path:
    """Returns the path or its nearest existing parent."""
    return next(one for one in (path, *path.parents) if one.exists())
