"""Serves the launcher's `/healthz` and `/metrics` while the run goes on, if `metrics.port` is set."""

import shutil
from contextlib import suppress

from protocols.commands import Report
from protocols.errors import ProtocolError
from runtime.exposition import CONTENT_TYPE, render
from runtime.mesh import Mesh
from runtime.runfolder import RunFolder
from runtime.web import Page, read_token, serve_pages
from scripts.launch.figures import Sizes, families, health
from scripts.launch.show import Show
from scripts.launch.watch import Watch
from services.settings import Metrics

HUB_SECONDS = 2.0
"""Longest wait of a request for the hub's status."""


class MetricsPages:
    """``mesh`` is the launcher's connection, or None while it has none."""

    def __init__(self, settings: Metrics, run: RunFolder, watch: Watch, show: Show) -> None:
        self._show = show
        self._settings = settings
        self._run = run
        self._watch = watch
        self._token = read_token(settings.host, settings.token_file) if settings.port else None
        self.mesh: Mesh | None = None

    async def serve(self) -> None:
        """Serves until cancelled; returns at once without a port. If it cannot listen, the run has no metrics pages."""
        at = self._settings
        if at.port:
            try:
                pages = {"/healthz": self._health, "/metrics": self._metrics}
                await serve_pages(at.host, at.port, pages, token=self._token)
            except OSError as error:
                self._show.event(f"no metrics at {at.host} port {at.port}: {error}")

    async def _health(self) -> Page:
        return health(self._watch, await self._report())

    async def _metrics(self) -> Page:
        report = await self._report()
        sizes = Sizes(log=self._run.log_size(), free=shutil.disk_usage(self._run.path).free)
        return Page(render(families(self._watch, report, sizes)), CONTENT_TYPE)

    async def _report(self) -> Report | None:
        if self.mesh is not None:
            with suppress(ProtocolError):
                return await self.mesh.status(timeout=HUB_SECONDS)
        return None
