"""A hub in a process of its own that is killed and restarted, like under the supervisor but without a backoff."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc

from runtime.child import command, environment
from runtime.keys import Key, read_key
from runtime.runfolder import RunFolder
from runtime.settings import dump
from runtime.signals import send
from runtime.sockets import background
from services.patience import Changes
from services.settings import Mesh, Settings


class Hubs:
    """A hub that is restarted after each end. ``deaths`` counts ends by cause; ``born`` signals each new process."""

    def __init__(self, run: RunFolder, plan: Callable[[], str]) -> None:
        self.run = run
        self.deaths: Counter[str] = Counter()
        self._process: anyio.abc.Process | None = None
        self.born = Changes()
        self._plan = plan
        self._output = run.log_of("hub")
        self._killed = False

    def key(self, name: str, role: str = "launcher") -> Key:
        """Returns the key of a client with this name, and makes it if needed. Every role may publish on `faults`."""
        file = self.run.key_of(name)
        return read_key(file if file.exists() else self.run.keys.make(name, role))

    @property
    def pid(self) -> int:
        """The process id of the running hub, 0 if there is none."""
        return 0 if self._process is None else self._process.pid

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to the hub, if it is running."""
        if self._process is not None:
            send(self._process, how)
            self._killed |= how == signal.SIGKILL

    async def keep(self) -> None:
        """Starts the hub, and starts it again after each SIGKILL, until cancelled.

        Raises:
            RuntimeError: the hub ended in another way.
        """
        while True:
            point = self._plan()
            crash = {"SELU_CRASH": f"hub/{point}"} if point else {}
            argv = command("hub", "hub", self.run, lifeline=None)
            with self._output.open("ab") as output:
                env = {**os.environ, **environment(), **crash}
                process = await anyio.open_process(argv, stdout=output, stderr=subprocess.STDOUT, env=env)
            self._process, self._killed = process, False
            self.born.notify()
            died = False
            try:
                await process.wait()
                died = True
            finally:
                self._process = None
                if not died:
                    send(process, signal.SIGKILL)
                    with anyio.CancelScope(shield=True):
                        await process.wait()
            if process.returncode != -signal.SIGKILL:
                text = self._output.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"the hub ended by itself with {process.returncode}:\n{text}")
            self.deaths["hub killed" if self._killed else f"hub died at {point.partition(':')[0]}"] += 1


@asynccontextmanager
async def hubs(folder: Path, plan: Callable[[], str] = str, *, session_seconds: float = 1.0) -> AsyncGenerator[Hubs]:
    """Creates a run folder and runs a hub that is restarted. ``plan`` is called before each start and returns the
    failpoint of that process, such as "commit.half:30", or an empty text for none."""
    run = RunFolder.create(folder)
    mesh = Mesh(session_seconds=session_seconds, heartbeat_seconds=0.1)
    run.write_settings(dump(Settings(mesh=mesh)))
    run.listen_at()
    try:
        async with background() as tasks:
            kept = Hubs(run, plan)
            tasks.start_soon(kept.keep)
            yield kept
    finally:
        run.stop_listening()
