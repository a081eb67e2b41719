"""The hub's disk-full notifier: broadcasts disk-full while commits fail, and records the period afterwards."""

import logging
import os
import time
import uuid
from collections.abc import Callable

import anyio

from protocols.codec import seal
from protocols.messages import Fault, Health
from runtime.fanout import Fanout
from runtime.journal import Journal, Write
from runtime.log import Append
from runtime.storage import STORAGE_FULL

SAY_SECONDS = 1.0
"""Interval between broadcasts while the disk is full."""

log = logging.getLogger("selu.hub")


class StorageAlarm:
    """Watches a journal for failed commits and sends `Health` messages on the fan-out socket."""

    def __init__(self, journal: Journal, fanout: Fanout, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._fanout = fanout
        self._clock = clock
        self._since: float | None = None
        self._why = ""
        self._said = self._last = 0.0
        self._spoken = 0
        self._life = uuid.uuid4().hex

    async def look(self) -> None:
        """Checks the journal, and broadcasts or records a change. Called a few times a second."""
        now, why = self._clock(), self._journal.refused
        if why is not None:
            self._last = now
            if self._since is None:
                self._since, self._why, self._said = now, why, now - SAY_SECONDS
                log.error("nothing is acknowledged until there is space: %s", why)
            if now - self._said >= SAY_SECONDS:
                self._said = now
                self._emit(full=True)
        elif self._since is not None and now - self._last >= SAY_SECONDS:  # a commit may succeed between two failures
            self._emit(full=False)
            await self._record(self._last - self._since)

    async def end(self) -> None:
        """Records a finished period that is not yet recorded. The journal must still be running."""
        if self._since is not None and self._journal.refused is None:
            await (await self._record(time.monotonic() - self._since)).wait()

    async def _record(self, seconds: float) -> anyio.Event:
        """Ends the period and publishes its duration as a fault. Returns an event that is set after the commit."""
        self._since, done = None, anyio.Event()
        log.warning("there is space again after %.1f s", seconds)
        fault = Fault(
            service="hub", what=f"nothing could be written for {seconds:.1f} s", why=self._why,
            do="nothing was lost: what was not acknowledged was sent again",
        )  # fmt: skip
        self._spoken += 1
        id = f"hub/{self._life}/{self._spoken}"
        envelope = seal("faults", fault, id=id, producer="hub", seq=self._spoken)
        await self._journal.write(Write([Append("faults", id, envelope)], None, lambda _: done.set()))
        return done

    def _emit(self, *, full: bool) -> None:
        health = Health(
            role="hub", instance="hub", pid=os.getpid(), ready=not full, rss_bytes=0, gauges={STORAGE_FULL: float(full)}
        )
        self._spoken += 1
        id = f"hub/{self._life}/{self._spoken}"
        self._fanout.send_nowait([b"health", seal("health", health, id=id, producer="hub", seq=self._spoken)])
