"""The layout of a run folder: where a run keeps its settings, log, blobs, adapters, metrics, report and sockets.

<run>/format          which layout this is
<run>/lock            held by the one launcher, and by its children until the last of them is gone
<run>/settings.toml   the resolved settings
<run>/log.sqlite      the durable topics
<run>/blobs/          frames and adapter files, by sha256
<run>/adapters/       adapter folders in the layout engines read
<run>/logs/           one text log a process
<run>/metrics.jsonl   figures that are not messages
<run>/summary.json    what came out, for programs
<run>/report.html     what came out, for people
<run>/damaged/        blobs that `selu doctor --repair` set aside
<run>/endpoints       where the hub listens while the run is up, and the private folder of its sockets and keys
<run>/sockets         link to that folder, where the file system has links
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
"""Version of the layout. Raised when an older launcher could not continue a newer folder, or the other way round."""

_NUMBERS = 1000
"""The largest number that is appended to the name of a run folder."""
_BELOW = ("*/format", "trials/*/*/*/format")
"""Where the runs are in a folder of runs, and in an experiment's."""
_MARK = "selu run folder, format"


class RunFolder(Listening):
    """The paths of one run. Making one touches nothing; `create`, `open`, `locked` and `listen_at` do."""

    def __init__(self, path: Path | str) -> None:
        try:
            self.path = given_path(path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long or has a zero
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
        """Makes a new run folder; an empty folder that is already there is taken. Of several that want the same folder
        at once one gets it.

        Raises:
            RunFolderError: something is there, or it cannot be made.
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
            cls.check_new(path)  # somebody was quicker
            raise RunFolderError(
                f"cannot make the run folder {run.path}: its place is taken: give another --run"
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
        return run

    @classmethod
    def create_numbered(cls, path: Path) -> "RunFolder":
        """Makes a new run folder here or, where something is there already, under this name with -2, -3, ... behind.

        Raises:
            RunFolderError: it cannot be made.
        """
        cls.check_new(path, numbered=True)
        for number in range(1, _NUMBERS):
            run = cls(path if number == 1 else path.with_name(f"{path.name}-{number}"))
            try:
                run.path.parent.mkdir(parents=True, exist_ok=True)
                run.path.mkdir()  # who makes it has it
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
        """Whether `create`, or `create_numbered`, would find a place, as far as can be seen. Touches nothing. Raises as
        they do."""
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
        """An existing run folder of this layout.

        Raises:
            RunFolderError: there is none, or another version wrote it.
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
        """Replaces the resolved settings, whole or not at all."""
        replace_file(self.settings_file, text.encode())

    def log_of(self, instance: str) -> Path:
        """The text log of one process."""
        return self.logs / f"{instance}.log"

    def log_size(self) -> int:
        """Bytes of the log and of what is still beside it (SQLite's write-ahead log)."""
        files = (self.log_file, self.log_file.with_name(f"{self.log_file.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    # -- one launcher at a time ------------------------------------------------------------------

    @contextmanager
    def locked(self, wait_seconds: float = 6.0) -> Generator[int]:
        """Holds the folder for one launcher; yields the lock's file descriptor.

        A child that inherits the descriptor keeps the folder locked until it ends too, so that a run whose launcher was
        killed cannot be resumed under processes that are still writing. They end within seconds: hence the wait.

        Raises:
            RunFolderError: somebody else still holds it after `wait_seconds`.
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
        """Whether a launcher, or a process that it left, holds the folder. Touches nothing, and needs no more than to
        read it."""
        try:
            # Shared, as a file that is only read takes no other lock everywhere; a launcher's is exclusive.
            with self.lock_file.open("rb") as file:
                return not lock(file.fileno(), "shared", wait=False)
        except OSError:  # no lock was ever made, or none can be: then nobody holds it
            return False


def _leads_nowhere(path: Path) -> bool:
    # These answer False for a name that is too long, where those of Path raise.
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114


def _first_there(path: Path) -> Path:
    """The path or the nearest folder above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())
