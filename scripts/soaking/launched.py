"""A real run as a user starts it: the launcher and its processes, observed and disturbed from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import psutil

from runtime.mesh import Mesh, connect
from runtime.runfolder import RunFolder
from runtime.signals import send

END_SECONDS = 15.0
"""How long a run may take to end after SIGTERM."""
HUB_SECONDS = 15.0


class Launched:
    """A launcher's process and its run folder."""

    def __init__(self, process: anyio.abc.Process, run: RunFolder) -> None:
        self.process = process
        self.run = run

    @property
    def processes(self) -> dict[str, psutil.Process]:
        """The running hub and services by instance."""
        found: dict[str, psutil.Process] = {}
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    argv = child.cmdline()
                    if argv[1:3] == ["-m", "runtime.child"]:
                        found[argv[3]] = child
        return found

    @property
    def pids(self) -> list[int]:
        """The process ids of the launcher and then its children; empty if the launcher has ended."""
        if self.process.returncode is not None:
            return []
        return [self.process.pid, *(process.pid for process in self.processes.values())]

    def kill(self, instance: str, how: signal.Signals = signal.SIGKILL) -> bool:
        """Sends a signal to one process of the run; returns whether the process existed."""
        found = self.processes.get(instance)
        if found is None:
            return False
        with suppress(psutil.Error):
            found.send_signal(how)
            return True
        return False


@asynccontextmanager
async def launch(
    folder: Path, *options: str, output: Path, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Launched]:
    """Starts ``selu up`` with the options, and ends all of its processes on exit. Appends its output to `output`."""
    argv = [sys.executable, "-m", "scripts.selu", "up", *options]
    with output.open("ab") as said:
        process = await anyio.open_process(
            argv, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **(environ or {})}
        )
    run = Launched(process, RunFolder(folder))
    try:
        yield run
    finally:
        if process.returncode is None:
            for child in run.processes.values():
                with suppress(psutil.Error):
                    child.resume()
            send(process, signal.SIGTERM)
            with anyio.move_on_after(END_SECONDS, shield=True):
                await process.wait()
            send(process, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()


@asynccontextmanager
async def observer(run: Launched) -> AsyncGenerator[Mesh]:
    """Waits for the run's hub and connects to it as an observer.

    Raises:
        RuntimeError: the launcher ended before that.
        TimeoutError: the run did not record a hub within `HUB_SECONDS`.
        DeadlineExceeded: the hub did not answer within `HUB_SECONDS`.
    """
    with anyio.fail_after(HUB_SECONDS):
        while not run.run.sockets_link.exists():
            if run.process.returncode is not None:
                raise RuntimeError(f"the launcher ended with {run.process.returncode}")
            await anyio.sleep(0.02)
    async with connect(run.run.endpoint, role="observer", instance="observer", timeout=HUB_SECONDS) as mesh:
        yield mesh
