"""The base of every service process: a connection, heartbeats, metrics, and an orderly shutdown.

A service is `async def main(service: Service) -> None` in ``services/<role>/service.py``. It returns when its work is
done, and is cancelled when the process gets SIGTERM or SIGINT. Its cleanup must be shielded and time-limited.
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
"""Interval between heartbeats."""
CONNECT_SECONDS = 30.0
"""How long a starting service waits for the hub, which may still be reading its log."""
ATTEMPT_SECONDS = 5.0
"""How long one connection attempt takes before the endpoint is read again."""
RESTORE_SECONDS = 10.0
"""How long a starting process waits for a missing key or allow-list, which the launcher writes again."""
LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
"""Time limit for the faults that a service publishes at its end."""


class Service:
    """A running service: the argument of its `main`.

    ``settings`` are the run's resolved settings. Every heartbeat carries ``gauges`` (current values) and ``counts``
    (totals since the start).
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
        """Marks the service as ready for work: models are loaded and worlds are made."""
        self._ready = True
        self._news.set()
        self.log.info("ready")

    async def progress(self, what: str, done: int, total: int) -> None:
        """Emits the progress of one piece of work."""
        await self.mesh.emit("progress", Progress(role=self.role, what=what, done=done, total=total))

    async def fault(self, what: str, why: str, do: str = "", *, id: str | None = None) -> None:
        """Publishes a fault: what was refused or given up, why, and what a person can do about it."""
        self.log.warning("%s: %s", what, why)
        await self.mesh.publish("faults", Fault(service=self.instance, what=what, why=why, do=do), id=id)

    def health(self) -> Health:
        """Returns the content of a heartbeat. Memory includes child processes, such as an engine's workers."""
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
        """Sends heartbeats until cancelled: at once, every `HEALTH_SECONDS`, and when the service becomes ready.

        Also measures the event loop's lag.
        """
        while True:
            await self.say_health()
            before = anyio.current_time()
            with anyio.move_on_after(HEALTH_SECONDS) as slept:
                await self._news.wait()
                self._news = anyio.Event()
            if slept.cancelled_caught:
                self._lag = max(0.0, anyio.current_time() - before - HEALTH_SECONDS)

    async def say_health(self) -> None:
        """Sends one heartbeat."""
        await self.mesh.emit("health", self.health())

    async def record_waits(self) -> None:
        """Publishes a fault for each finished wait for disk space, until cancelled."""
        while True:
            await self.record_past_waits()
            await anyio.sleep(HEALTH_SECONDS)

    async def record_past_waits(self) -> None:
        """Publishes a fault for each wait for disk space that has finished since the last call."""
        for waited in HERE.take_over():
            await self.fault(
                f"nothing could be written for {waited.seconds:.1f} s", waited.why,
                "nothing was lost: it was written when there was space",
            )  # fmt: skip


Main = Callable[[Service], Awaitable[None]]


async def run_service(
    role: str, instance: str, run: RunFolder, settings: Any, main: Main, *, key: Key | None = None, endpoint: str = ""
) -> None:
    """Connects to the hub and runs `main` until it returns, raises, or is cancelled by SIGTERM or SIGINT.

    `endpoint` is given for a hub on another machine: blobs then travel through the hub, and `run` is a folder of this
    machine.

    Raises:
        DeadlineExceeded: no hub answered within `CONNECT_SECONDS`.
        NotAdmitted: the hub does not admit the key.
        Exception: the error that `main` raised. It is published on `faults` too.
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
    """Connects within `CONNECT_SECONDS`. Each attempt reads the hub's endpoint again, because it may have changed."""
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
    """Returns the errors inside exception groups, however deeply nested; for any other error, the error itself."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [error]


async def run_hub(run: RunFolder, *, keys: KeysFolder | None, session_seconds: float, ping_seconds: float) -> None:
    """Runs the hub until SIGTERM or SIGINT. With `keys` its sockets are encrypted, and the keys of that folder are
    admitted in addition to the run's own.

    Raises:
        KeysError: the keys cannot be used.
        SettingsError: other machines can reach an endpoint, and there are no keys.
    """
    _take_descriptors()
    with anyio.move_on_after(RESTORE_SECONDS):  # without the list the hub would refuse every client for good
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
    """Raises the limit of open files to its maximum, so that half-open connections do not use up the descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
