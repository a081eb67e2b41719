"""Where the hub of a run listens, for all who look: what the run's folder records, and the private folder."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from runtime.atomic import replace_file
from runtime.endpoints import EndpointError, from_here, is_local, pair
from runtime.keys import KeysFolder
from runtime.paths import RunFolderError
from runtime.private_folder import make, no_place, own, places, remove


class Listening:
    """The part of a `RunFolder` that is about its hub's sockets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.endpoints_file = path / "endpoints"
        self.sockets_link = path / "sockets"

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
        folder = self.private
        if folder is None:
            return KeysFolder(self.path / "no sockets of its own")
        # By the link where there is one: it stays right when the folder has to be made in another place.
        return KeysFolder(self.sockets_link if self.sockets_link.is_symlink() else folder)

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
        folder = make(self._private_name)
        self._record(listening if endpoint else _sockets_in(folder), folder)

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
        recorded = self._recorded()
        if len(recorded) < 2 or (recorded[0].startswith("ipc://") and self.private is None):
            return self._ipc()
        return recorded[0], recorded[1]

    def _ipc(self) -> tuple[str, str]:
        found = places(self._private_name)
        if not found:
            raise no_place()
        return _sockets_in(found[0])

    @property
    def _private_name(self) -> str:
        """The name of this run's private folder. A copy of the run's folder has another one."""
        return "selu-" + hashlib.sha256(f"{os.getuid()}:{self.path}".encode(errors="surrogateescape")).hexdigest()[:16]

    @property
    def private(self) -> Path | None:
        """The private folder of this run's sockets and keys; None where none is recorded, or it is another run's, from
        which this folder was copied."""
        recorded = self._recorded()[2:]
        try:
            folder = Path(recorded[0]) if recorded else self.sockets_link.readlink()
        except OSError:
            return None
        return folder if folder.name == self._private_name else None

    def _recorded(self) -> list[str]:
        """The lines of the endpoints file: ROUTER, PUB, private folder."""
        try:
            return self.endpoints_file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return []

    def _record(self, listening: tuple[str, str], private: Path) -> None:
        self._unlink()
        with suppress(OSError):  # exFAT, SMB: no links; the endpoints file says it too
            self.sockets_link.symlink_to(private)
        lines = "".join(f"{line}\n" for line in (*listening, private))
        replace_file(self.endpoints_file, lines.encode(errors="surrogateescape"))

    def restore_private(self) -> Path:
        """Makes the private folder again after something removed it, in its place or, where it cannot be there any
        more, in another one, which is recorded. Called by the launcher.

        Raises:
            RunFolderError: no place can be had.
        """
        folder = self.private
        listening = self.listening
        try:
            if folder is None:
                raise FileNotFoundError
            own(folder)
        except OSError:
            folder = make(self._private_name)
            if listening[0].startswith("ipc://"):
                listening = _sockets_in(folder)
        self._record(listening, folder)
        return folder

    def stop_listening(self) -> None:
        """Removes the sockets and the record of where the hub listened, once it has ended."""
        for folder in (self.private, *places(self._private_name)):  # the record may be gone with the run's folder
            if folder is not None:
                remove(folder)
        self._unlink()
        self.endpoints_file.unlink(missing_ok=True)

    def _unlink(self) -> None:
        if self.sockets_link.is_dir() and not self.sockets_link.is_symlink():
            shutil.rmtree(self.sockets_link)  # a copy that followed links: sockets and keys of a run that was elsewhere
        else:
            self.sockets_link.unlink(missing_ok=True)


def _sockets_in(folder: Path) -> tuple[str, str]:
    return f"ipc://{folder}/hub", f"ipc://{folder}/fan"
