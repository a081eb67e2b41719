"""Deletes frames of old rounds while the mesh runs, as the ``retention`` settings say."""

import sqlite3
from functools import partial

import anyio
import anyio.to_thread

from runtime.log import LogFormatError
from runtime.mesh import Mesh
from runtime.runfolder import RunFolder
from scripts.launch.show import Show
from scripts.upkeep.sweep import Sweeper, Swept, Unreadable, grace_seconds
from services.report.numbers import size
from services.settings import Settings

LOOK_SECONDS = 60.0
"""Interval between two sweeps."""


class Keeper:
    """Runs the sweeper in a worker thread, off the event loop."""

    def __init__(self, run: RunFolder, settings: Settings, show: Show) -> None:
        self._show = show
        self._sweeper = Sweeper(run, settings, grace=grace_seconds(settings))
        self._on = settings.retention.rounds > 0 or settings.retention.gib > 0
        self._told: set[str] = set()

    async def keep(self, mesh: Mesh) -> None:
        """Sweeps at an interval until cancelled. Returns at once if retention is off."""
        while self._on:
            lag = (await mesh.status()).lag
            groups = [(name, topic) for name, _, topic in (key.rpartition(":") for key in lag)]
            try:
                self.tell(await anyio.to_thread.run_sync(partial(self._sweeper.sweep, groups=groups)))
            except (Unreadable, LogFormatError, sqlite3.Error, OSError) as error:
                self._once(f"nothing is let go: {error}")
            await anyio.sleep(LOOK_SECONDS)

    def tell(self, swept: Swept) -> None:
        if swept.rounds:
            rounds = ", ".join(map(str, swept.rounds))
            self._show.event(f"let go of {size(swept.bytes)} of frames, round {rounds}")
        for group, behind in swept.plan.waiting.items():
            self._once(f"frames are kept for the consumer group {group!r}, which has yet to read round {behind[0]}")
        if swept.plan.over:
            self._once("retention.gib is exceeded, and all that is left is needed")

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._show.event(text)
