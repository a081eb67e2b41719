"""Supervises child processes: each has its own process group and log file, and is restarted within a budget.

`supervise` is a context manager; when it exits, for any reason, no child is running. The `on_exit` callback decides
what the end of a child means for the run.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import anyio
import anyio.abc
import msgspec

from runtime.signals import send
from runtime.storage import is_full

WINDOW_SECONDS = 600.0
"""Failures longer ago than this no longer count against the restart budget."""
BACKOFF_SECONDS = (0.1, 5.0)
"""The wait before the first restart, and the longest wait: each further restart in a row doubles it."""
STEADY_SECONDS = 10.0
"""After a child has run for so long, its next failure starts again at the shortest wait."""
KILLED_SECONDS = 2.0
"""How long to wait for the end of a killed process."""
TAIL_LINES, TAIL_BYTES = 12, 8192
"""How much of a failed child's log is shown."""

HOPELESS = 78
"""Exit code (EX_CONFIG) of a child that must not be restarted: it would fail in the same way."""

State = Literal["starting", "running", "waiting", "ended", "given up", "stopped"]


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to supervise. Higher `stage` values are stopped first. `grace` is the time from SIGTERM to SIGKILL."""

    instance: str
    argv: Sequence[str]
    env: Mapping[str, str] = {}
    stage: int = 1
    grace: float = 5.0


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A child ended, and the supervisor had not stopped it.

    ``code`` or ``signal`` (its name) is the exit status; both are ``None`` if the child could not be started. ``tail``
    are the last lines of its log since its start. ``again_in`` is the wait in seconds before the restart. It is
    ``None`` if there is no restart: the code was 0 or `HOPELESS`, or the restart budget is spent.
    """

    instance: str
    pid: int
    code: int | None
    signal: str | None
    seconds: float
    tail: tuple[str, ...]
    deaths: int
    again_in: float | None

    @property
    def how(self) -> str:
        """For example "was killed by SIGKILL after 12.3 s"."""
        if self.signal:
            return f"was killed by {self.signal} after {self.seconds:.1f} s"
        if self.code is None:
            return "could not be started"
        return f"ended with code {self.code} after {self.seconds:.1f} s"


class _Child:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.pid = 0
        self.state: State = "starting"
        self.deaths: deque[float] = deque()
        self.early = 0
        self.restarts = 0
        self.forced = False
        self.scope = anyio.CancelScope(shield=True)
        self.spawned, self.stopping, self.gone = anyio.Event(), anyio.Event(), anyio.Event()


class Supervisor:
    """Made by `supervise`. Its methods must be called from the event loop it was made in."""

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        *,
        logs: Path,
        restarts: int,
        on_exit: Callable[[Exit], Awaitable[None]],
        pass_fds: Sequence[int],
        window: float,
        backoff: tuple[float, float],
    ) -> None:
        self._tasks = tasks
        self._logs = logs
        self._restarts = restarts
        self._on_exit = on_exit
        self._window = window
        self._backoff = backoff
        # Nothing is ever written to the pipe: children wait for its end of file.
        self._lifeline, self._held = os.pipe()
        self._pass_fds = (self._lifeline, *pass_fds)
        self._children: dict[str, _Child] = {}

    @property
    def lifeline(self) -> int:
        """The descriptor that children inherit and watch (`runtime.lifeline.watch`)."""
        return self._lifeline

    @property
    def pids(self) -> dict[str, int]:
        """The running children's process ids by instance."""
        return {name: child.pid for name, child in self._children.items() if child.state == "running"}

    @property
    def states(self) -> dict[str, State]:
        """The state of each child by instance."""
        return {name: child.state for name, child in self._children.items()}

    @property
    def restarts(self) -> dict[str, int]:
        """The number of restarts of each child."""
        return {name: child.restarts for name, child in self._children.items()}

    @property
    def forced(self) -> list[str]:
        """The children that were killed because they did not end within their grace."""
        return [name for name, child in self._children.items() if child.forced]

    async def start(self, spec: Spec) -> None:
        """Starts a child and supervises it until `stop`. Returns after the first attempt to spawn it.

        Raises:
            ValueError: a child with this instance name is already supervised.
        """
        if spec.instance in self._children:
            raise ValueError(f"{spec.instance} is already supervised")
        child = self._children[spec.instance] = _Child(spec)
        self._tasks.start_soon(self._keep, child)
        await child.spawned.wait()

    async def stop(self) -> None:
        """Stops all children, one stage after the other: SIGTERM, the grace, then SIGKILL to their process groups.

        Takes at most the sum over the stages of the longest grace plus `KILLED_SECONDS`. Shielded from cancellation.
        """
        with anyio.CancelScope(shield=True):
            for stage in sorted({child.spec.stage for child in self._children.values()}, reverse=True):
                children = [child for child in self._children.values() if child.spec.stage == stage]
                for child in children:
                    child.stopping.set()
                with anyio.move_on_after(max(child.spec.grace for child in children) + KILLED_SECONDS):
                    for child in children:
                        await child.gone.wait()
                for child in children:
                    child.scope.cancel()

    def kill(self) -> None:
        """Kills the process groups of all children at once."""
        for child in self._children.values():
            child.stopping.set()
            _kill_group(child.pid)

    def release(self) -> None:
        """Closes the launcher's pipe: children that still run then end by `runtime.lifeline`."""
        os.close(self._lifeline)
        os.close(self._held)

    async def _keep(self, child: _Child) -> None:
        # Shielded: a cancelled launcher still ends its children in order, through `stop`.
        try:
            with child.scope:
                while not child.stopping.is_set():
                    exit = await self._live(child)
                    if exit is None:
                        break
                    await self._on_exit(exit)
                    if exit.again_in is None:
                        child.state = "ended" if exit.code == 0 else "given up"
                        return
                    child.state = "waiting"
                    with anyio.move_on_after(exit.again_in):
                        await child.stopping.wait()
                    child.restarts += 1
            child.state = "stopped"
        finally:
            child.spawned.set()
            child.gone.set()

    async def _live(self, child: _Child) -> Exit | None:
        """Starts a child and waits for its end. Returns ``None`` if the supervisor stopped it."""
        log_file = self._logs / f"{child.spec.instance}.log"
        start_of_log = log_file.stat().st_size if log_file.exists() else 0
        since = time.monotonic()
        try:
            process = await self._spawn(child, log_file)
        except OSError as error:
            tail = (f"cannot start {child.spec.argv[0]}: {error}",)
            return self._account(child, None, 0.0, tail)
        finally:
            child.spawned.set()
        child.pid, child.state = process.pid, "running"
        try:
            returncode = await self._run(child, process)
        finally:
            child.pid = 0
        if child.stopping.is_set():
            return None
        tail = _tail(log_file, start_of_log)
        return self._account(child, returncode, time.monotonic() - since, tail, pid=process.pid)

    async def _spawn(self, child: _Child, log_file: Path) -> anyio.abc.Process:
        with _log(log_file, child.spec.instance) as log:
            return await anyio.open_process(
                [*child.spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **child.spec.env},
                start_new_session=True,
                pass_fds=self._pass_fds,
            )

    async def _run(self, child: _Child, process: anyio.abc.Process) -> int:
        """Waits until the child ends, by itself or through `stop`, then kills the rest of its process group."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_when_asked, child, process)
                await process.wait()
                tasks.cancel_scope.cancel()
            return await process.wait()
        finally:
            _kill_group(process.pid)
            with anyio.move_on_after(KILLED_SECONDS, shield=True):
                await process.wait()

    async def _end_when_asked(self, child: _Child, process: anyio.abc.Process) -> None:
        await child.stopping.wait()
        # SIGTERM goes to the group's leader only: it knows in which order its own children have to end.
        send(process, signal.SIGTERM)
        await anyio.sleep(child.spec.grace)
        child.forced = True
        _kill_group(process.pid)

    def _account(
        self, child: _Child, returncode: int | None, seconds: float, tail: tuple[str, ...], pid: int = 0
    ) -> Exit:
        now = time.monotonic()
        again_in = None
        if returncode != 0:
            child.deaths.append(now)
            child.early = 1 if seconds >= STEADY_SECONDS else child.early + 1
            while child.deaths[0] < now - self._window:
                child.deaths.popleft()
            if returncode != HOPELESS and len(child.deaths) <= self._restarts:
                first, most = self._backoff
                again_in = min(first * 2 ** (child.early - 1), most)
        return Exit(
            instance=child.spec.instance,
            pid=pid,
            code=returncode if returncode is not None and returncode >= 0 else None,
            signal=_signal_name(-returncode) if returncode is not None and returncode < 0 else None,
            seconds=seconds,
            tail=tail,
            deaths=len(child.deaths),
            again_in=again_in,
        )


@asynccontextmanager
async def supervise(
    *,
    logs: Path,
    on_exit: Callable[[Exit], Awaitable[None]],
    restarts: int = 5,
    pass_fds: Sequence[int] = (),
    window: float = WINDOW_SECONDS,
    backoff: tuple[float, float] = BACKOFF_SECONDS,
) -> AsyncGenerator[Supervisor]:
    """Yields a supervisor whose children write their output to ``logs/<instance>.log`` and inherit `pass_fds`.

    A child that fails is restarted after a backoff, at most `restarts` times within `window` seconds, unless its exit
    code is `HOPELESS`. `on_exit` is called with each end of a child that the supervisor did not stop. Leaving the
    context stops all children.
    """
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(
            tasks, logs=logs, restarts=restarts, on_exit=on_exit, pass_fds=pass_fds, window=window, backoff=backoff
        )
        try:
            yield supervisor
        finally:
            await supervisor.stop()
            supervisor.release()


def _log(file: Path, instance: str) -> BinaryIO:
    """Opens the child's log and writes a line about its start. On a full disk the output goes to the null device."""
    try:
        log = file.open("ab", buffering=0)
    except OSError as error:
        if not is_full(error):
            raise
        return Path(os.devnull).open("ab", buffering=0)
    with suppress(OSError):
        log.write(f"--- {instance} starts at {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
    return log


def _kill_group(pid: int) -> None:
    if pid > 0:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(file: Path, start: int) -> tuple[str, ...]:
    """Returns the last lines written to a log since byte `start`, without the supervisor's own lines."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start, size - TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return (f"cannot read {file}: {error}",)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("--- ")]
    return tuple(lines[-TAIL_LINES:])
