"""Watches the run's folder and its private folder of sockets and keys, and restores private files that were deleted."""

import anyio
import anyio.to_thread

from runtime.runfolder import RunFolder, RunFolderError
from scripts.launch.show import Show

LOOK_SECONDS = 2.0
"""Interval between two checks."""


def lost(run: RunFolder) -> str:
    """A message that the run's folder is missing; empty if it exists."""
    if run.format_file.exists():
        return ""
    return f"the run folder {run.path} is gone: it was deleted or moved while the run was in it"


class Guard:
    """Checks both folders. Create it after the run's keys exist, because it keeps copies of them.

    Cleaners of temporary files, or the end of a login session, may delete the private folder. It is then restored,
    because processes need their keys to connect again.
    """

    def __init__(self, run: RunFolder, show: Show) -> None:
        self._run = run
        self._show = show
        self._files: dict[str, bytes] = {}
        self._told = ""
        self._look_at_keys()

    async def watch(self) -> str:
        """Checks at an interval until the run's folder is gone; returns the message."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            if lost := await anyio.to_thread.run_sync(self.look):
                return lost

    def look(self) -> str:
        """Checks once and restores missing files. Returns the reason why the run cannot continue, or an empty text."""
        if gone := lost(self._run):
            return gone
        try:
            if self._look_at_keys():
                self._tell(f"the run's sockets and keys were removed; they were made again in {self._run.private}")
            else:
                self._told = ""
        except (RunFolderError, OSError) as error:
            self._tell(f"the run's sockets and keys were removed and cannot be made again: {error}")
        return ""

    def _look_at_keys(self) -> bool:
        """Copies the private files, or restores those that are missing. Returns whether any was."""
        keys = self._run.keys
        there = {file.name: file.read_bytes() for file in keys.path.glob("*.key")} if keys.path.is_dir() else {}
        if keys.allowed_file.exists():
            there[keys.allowed_file.name] = keys.allowed_file.read_bytes()
            let_in = {f"{entry.name}.key" for entry in keys.allowed()}
        else:
            let_in = set(self._files)
        missing = {name for name in self._files if name not in there and name in {*let_in, keys.allowed_file.name}}
        if not missing:
            self._files = {**{n: d for n, d in self._files.items() if n in let_in}, **there}
            return False
        self._run.restore_private()
        for name in missing:
            self._run.keys.restore(name, self._files[name])
        return True

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._show.event(text)
