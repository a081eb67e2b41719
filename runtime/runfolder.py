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
<run>/endpoints       where the hub listens while the run is up
<run>/sockets         link to the private folder of this run's sockets and keys
"""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.endpoints import EndpointError, from_here, is_local, pair
from runtime.keys import KeysFolder

FORMAT = 1
"""Version of the layout. Raised when an older launcher could not continue a newer folder, or the other way round."""

SOCKET_BYTES = 107
"""The longest path of a Unix socket."""

_MARK = "selu run folder, format"


class RunFolderError(Exception):
    """A run folder that cannot be used as asked. The text says which, why, and what to do."""


class RunFolder:
    """The paths of one run. Making one touches nothing; `create`, `open`, `locked` and `listen_at` do."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().resolve()
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
        self.endpoints_file = self.path / "endpoints"
        self.sockets_link = self.path / "sockets"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path | str) -> "RunFolder":
        """Makes a new run folder; an empty folder that is already there is taken.

        Raises:
            RunFolderError: something is there, or it cannot be made.
        """
        cls.check_new(path)
        run = cls(path)
        try:
            for folder in (run.path, run.blobs, run.adapters, run.logs):
                folder.mkdir(parents=True, exist_ok=True)
            run.format_file.write_text(f"{_MARK} {FORMAT}\n")
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
        return run

    @classmethod
    def check_new(cls, path: Path | str) -> None:
        """Whether `create` would find the place free. Touches nothing. Raises as it does."""
        run = cls(path)
        try:
            taken = run.path.exists() and any(run.path.iterdir())
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {run.path}: {error.strerror or error}") from error
        if taken and run.format_file.exists():
            raise RunFolderError(f"{run.path} already holds a run: continue it with --resume {run.path}")
        if taken:
            raise RunFolderError(f"{run.path} is not empty and not a run folder: give --run another folder")

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """An existing run folder of this layout.

        Raises:
            RunFolderError: there is none, or another version wrote it.
        """
        run = cls(path)
        try:
            mark = run.format_file.read_text().strip()
        except FileNotFoundError:
            what = "is not a run folder (it has no file named format)" if run.path.is_dir() else "does not exist"
            raise RunFolderError(f"{run.path} {what}: give the folder that `selu up` printed") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"cannot read {run.format_file}: {error}") from error
        if mark != f"{_MARK} {FORMAT}":
            raise RunFolderError(
                f"{run.path} was made by another version ({mark!r}; this one reads format {FORMAT}): "
                "continue it with the version that made it, or start a new run"
            )
        return run

    def write_settings(self, text: str) -> None:
        """Replaces the resolved settings, whole or not at all."""
        scratch = self.settings_file.with_suffix(".part")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self.settings_file)

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
        with self.lock_file.open("a+") as file:
            deadline = time.monotonic() + wait_seconds
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        file.seek(0)
                        holder = file.read().strip() or "unknown"
                        raise RunFolderError(
                            f"{self.path} is in use by another launcher (process {holder}): "
                            f"wait for it, stop it with `kill {holder}`, or use another --run"
                        ) from None
                    time.sleep(0.05)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield file.fileno()

    # -- sockets ---------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """How processes of this machine reach the hub's ROUTER."""
        return from_here(self.listening[0])

    @property
    def fanout(self) -> str:
        """How processes of this machine reach the hub's PUB."""
        return from_here(self.listening[1])

    @property
    def keys(self) -> KeysFolder:
        """The keys of this run's own processes; there while it is up. `listen_at` makes the folder."""
        return KeysFolder(self.sockets_link)

    def key_of(self, instance: str) -> Path:
        """The file of one process's key."""
        return self.keys.file_of(instance)

    def listen_at(self, endpoint: str = "", *, keyed: bool = False) -> None:
        """Fixes where the hub of this run listens, for all who look. Called by the launcher, under the lock.

        Makes a private folder (mode 0700, ours) for sockets and keys. An empty endpoint means ipc, in that folder. With
        ``tcp://host:port`` the PUB takes the next port; a host that other machines can reach must be `keyed`.

        Raises:
            RunFolderError: no such endpoint can be had, or it would let other machines in.
        """
        listening = self.endpoints_for(endpoint, keyed=keyed)
        self._make_sockets()
        self.endpoints_file.write_text("\n".join(listening) + "\n")

    def endpoints_for(self, endpoint: str = "", *, keyed: bool = False) -> tuple[str, str]:
        """Where ROUTER and PUB would listen with `listen_at(endpoint)`. Raises as it does."""
        if not endpoint:
            return self._ipc()
        try:
            listening = pair(endpoint)
        except EndpointError as error:
            raise RunFolderError(f"mesh.endpoint {error}") from None
        if not keyed and not is_local(endpoint):
            raise RunFolderError(
                f"mesh.endpoint {endpoint!r} is not allowed without keys, as other machines can reach it: make keys "
                "with `selu keys make` and set mesh.keys to their folder, or give tcp://127.0.0.1:PORT"
            )
        return listening

    @property
    def listening(self) -> tuple[str, str]:
        """Where the hub's ROUTER and PUB are bound."""
        # What was recorded counts: another shell may have another XDG_RUNTIME_DIR.
        try:
            endpoint, fanout = self.endpoints_file.read_text().split()
        except (OSError, ValueError):
            return self._ipc()
        return endpoint, fanout

    def _ipc(self) -> tuple[str, str]:
        return f"ipc://{self._private()}/hub", f"ipc://{self._private()}/fan"

    def _private(self) -> Path:
        name = "selu-" + hashlib.sha256(f"{os.getuid()}:{self.path}".encode()).hexdigest()[:16]
        for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
            if base and Path(base).is_dir() and len(os.fsencode(f"{base}/{name}/hub")) <= SOCKET_BYTES:
                return Path(base) / name
        raise RunFolderError(f"no folder for sockets: set XDG_RUNTIME_DIR to a path under {SOCKET_BYTES - 30} bytes")

    def _make_sockets(self) -> None:
        folder = self._private()
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise RunFolderError(f"{folder} belongs to somebody else: set XDG_RUNTIME_DIR to a folder of your own")
        folder.chmod(0o700)
        for left in folder.iterdir():
            left.unlink()
        self.sockets_link.unlink(missing_ok=True)
        self.sockets_link.symlink_to(folder)

    def stop_listening(self) -> None:
        """Removes the sockets and the record of where the hub listened, once it has ended."""
        with suppress(OSError):
            folder = self.sockets_link.readlink()
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()
        self.sockets_link.unlink(missing_ok=True)
        self.endpoints_file.unlink(missing_ok=True)
