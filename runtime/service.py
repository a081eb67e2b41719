"""What every process of the mesh has in common: a connection, heartbeats, figures, and an orderly end.

A service is `async def main(service: Service) -> None` in ``services/<role>/service.py``. It ends when its work is done
or is cancelled when the process is asked to stop; what it must finish then it shields and bounds itself.
"""

import logging
import os
import resource
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, cast

import anyio
import psutil

from protocols.errors import DeadlineExceeded, ProtocolError
from protocols.messages import Fault, Health, Progress
from runtime.hub import HubSettings, serve_hub
from runtime.keys import Key, KeysFolder
from runtime.mesh import Mesh, connect
from runtime.metrics import Metrics
from runtime.runfolder import RunFolder
from runtime.signals import until_signalled
from runtime.sockets import background
from runtime.storage import HERE, STORAGE_FULL

HEALTH_SECONDS = 1.0
"""How often a service says how it is."""
CONNECT_SECONDS = 30.0
"""How long a service waits for the hub at its start: the hub may still be replaying."""
ATTEMPT_SECONDS = 5.0
"""How long of that it waits at one place."""
RESTORE_SECONDS = 10.0
"""How long a process that starts waits for the run's own keys, which its launcher makes again if they vanish."""
LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
"""How long what is put on record at the end may take."""


class Service:
    """A running service, as its `main` sees it.

    ``settings`` are the run's resolved settings. ``gauges`` (current values) and ``counts`` (totals since the start) go
    out with every heartbeat.
    """

    def __init__(self, *, role: str, instance: str, mesh: Mesh, run: RunFolder, settings: Any) -> None:
        self.role = role
        self.instance = instance
        self.mesh = mesh
        self.run = run
        self.settings = settings
        self.log = logging.getLogger(f"selu.{instance}")
        self.metrics = Metrics(run, instance)
        self.gauges: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self._ready = False
        self._news = anyio.Event()
        self._process = psutil.Process()
        self._lag = 0.0

    def set_ready(self) -> None:
        """Says that the service can do its work now: models are loaded, worlds are made."""
        self._ready = True
        self._news.set()
        self.log.info("ready")

    async def progress(self, what: str, done: int, total: int) -> None:
        """Says how far a piece of work is."""
        await self.mesh.emit("progress", Progress(role=self.role, what=what, done=done, total=total))

    async def fault(self, what: str, why: str, do: str = "", *, id: str | None = None) -> None:
        """Records what was refused or given up, for a person to read."""
        self.log.warning("%s: %s", what, why)
        await self.mesh.publish("faults", Fault(service=self.instance, what=what, why=why, do=do), id=id)

    def health(self) -> Health:
        """How this process is. Memory is that of the process and of all it started (an engine's workers, say)."""
        return Health(
            role=self.role,
            instance=self.instance,
            pid=os.getpid(),
            ready=self._ready,
            rss_bytes=self._memory(),
            loop_lag_seconds=self._lag,
            gauges={
                **self.gauges,
                **{name: float(count) for name, count in self.counts.items()},
                STORAGE_FULL: float(bool(HERE)),
            },
        )

    def _memory(self) -> int:
        total = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):
                total += child.memory_info().rss
        return total

    async def beat(self) -> None:
        """Sends heartbeats until cancelled, the first ones at once and when ready; measures the event loop's lag."""
        while True:
            await self.say_health()
            before = anyio.current_time()
            with anyio.move_on_after(HEALTH_SECONDS) as slept:
                await self._news.wait()
                self._news = anyio.Event()
            if slept.cancelled_caught:
                self._lag = max(0.0, anyio.current_time() - before - HEALTH_SECONDS)

    async def say_health(self) -> None:
        """One heartbeat now."""
        await self.mesh.emit("health", self.health())

    async def record_waits(self) -> None:
        """Puts waits for space on record once they are over, until cancelled."""
        while True:
            await self.record_past_waits()
            await anyio.sleep(HEALTH_SECONDS)

    async def record_past_waits(self) -> None:
        """Puts those on record that are over now."""
        for waited in HERE.take_over():
            await self.fault(
                f"nothing could be written for {waited.seconds:.1f} s", waited.why,
                "nothing was lost: it was written when there was space",
            )  # fmt: skip


Main = Callable[[Service], Awaitable[None]]


async def run_service(
    role: str, instance: str, run: RunFolder, settings: Any, main: Main, *, key: Key | None = None, endpoint: str = ""
) -> None:
    """Joins the mesh and runs `main` until it returns, fails, or SIGTERM or SIGINT asks for the end.

    `endpoint` is that of a hub on another machine: blobs then travel through it, and `run` is a folder of this one.

    Raises:
        DeadlineExceeded: the hub cannot be reached.
        NotAdmitted: the hub does not take the key.
        Exception: whatever `main` failed with; it is on `faults` too.
    """
    async with (
        until_signalled(signal.SIGTERM, signal.SIGINT) as stopping,
        _joined(role, instance, run, key=key, endpoint=endpoint) as mesh,
    ):
        service = Service(role=role, instance=instance, mesh=mesh, run=run, settings=settings)
        async with background() as tasks:
            tasks.start_soon(service.beat)
            tasks.start_soon(service.record_waits)
            try:
                await main(service)
            except Exception as error:
                if not stopping:
                    await _last_words(service, error)
                raise
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                await service.record_past_waits()
            await service.say_health()


@asynccontextmanager
async def _joined(role: str, instance: str, run: RunFolder, *, key: Key | None, endpoint: str) -> AsyncGenerator[Mesh]:
    """The mesh, joined within `CONNECT_SECONDS`. Where the run's hub is said is read again meanwhile: it may move."""
    deadline = anyio.current_time() + CONNECT_SECONDS
    async with AsyncExitStack() as stack:
        while True:
            timeout = max(0.0, deadline - anyio.current_time())
            joining = connect(
                endpoint or run.endpoint, role=role, instance=instance, run=None if endpoint else run, key=key,
                timeout=timeout if endpoint else min(timeout, ATTEMPT_SECONDS),
            )  # fmt: skip
            try:
                mesh = await stack.enter_async_context(joining)
                break
            except DeadlineExceeded:
                if endpoint or anyio.current_time() >= deadline:
                    raise
        yield mesh


async def _last_words(service: Service, error: Exception) -> None:
    why = "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(error))
    with anyio.move_on_after(LAST_WORDS_SECONDS), suppress(ProtocolError):
        await service.fault(f"{service.instance} failed", why, "see its log in the run folder")


def leaves(error: BaseException) -> list[BaseException]:
    """The errors themselves, without the groups that task groups wrap them in."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [error]


async def run_hub(run: RunFolder, *, keys: KeysFolder | None, session_seconds: float, ping_seconds: float) -> None:
    """Runs the hub until SIGTERM or SIGINT. With `keys` its sockets are encrypted, and theirs are let in too.

    Raises:
        KeysError: the keys cannot be used.
        SettingsError: other machines could reach it without keys.
    """
    _take_descriptors()
    with anyio.move_on_after(RESTORE_SECONDS):  # with no list, everybody would be turned away for good
        while not run.keys.allowed_file.exists():  # noqa: ASYNC110  another process writes it
            await anyio.sleep(LOOK_SECONDS)
    endpoint, fanout = run.listening
    settings = HubSettings(
        endpoint=endpoint,
        fanout=fanout,
        log_file=run.log_file,
        blobs=run.blobs,
        allowed=(run.keys.allowed_file, *([keys.allowed_file] if keys else ())),
        key=keys.hub_key() if keys else None,
        session_seconds=session_seconds,
        ping_seconds=ping_seconds,
        where=lambda: run.listening,
    )
    async with until_signalled(signal.SIGTERM, signal.SIGINT), serve_hub(settings):
        await anyio.sleep_forever()


def _take_descriptors() -> None:
    """As many connections as the system lets us have: those half-open must not use up what files need."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
