"""Runs the mesh: starts hub and services as supervised processes, follows the run, and ends them."""

import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import anyio
import anyio.abc
import msgspec
import psutil
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from protocols.errors import ProtocolError
from protocols.messages import Fault, Health
from runtime.child import command, environment
from runtime.keys import read_key
from runtime.mesh import Mesh, connect
from runtime.metrics import Metrics
from runtime.runfolder import RunFolder
from runtime.signals import ENDING, receiving
from runtime.streams import Delivery
from runtime.supervisor import HOPELESS, Exit, Spec, Supervisor, supervise
from scripts.launch import lines
from scripts.launch.guard import Guard
from scripts.launch.keeping import Keeper
from scripts.launch.pages import MetricsPages
from scripts.launch.plan import Plan
from scripts.launch.show import Show
from scripts.launch.speak import harmless
from scripts.launch.watch import Watch
from services.report.state import READS

HUB_SECONDS = 15.0
"""Time limit for the hub's first answer."""
AGAIN_SECONDS = 1.0
"""Pause before the launcher connects again after the hub refused it or did not answer."""
TICK_SECONDS = 0.25
"""Interval between updates of the display."""
HEALTH_SECONDS = 5.0
"""Interval at which the processes' health is written to metrics.jsonl."""
LAST_WORDS_SECONDS = 3.0
"""Longest wait for the services' last heartbeats after the run has finished."""
SAME_SECONDS = 0.5
"""A second signal within this time counts as the first one: no user presses Ctrl-C twice this fast."""
STALL_SECONDS = 180.0
"""Time without progress after which the launcher reports a stall."""
FAULTS = 64
"""Capacity of the queue of faults that wait for the hub; further ones are only logged."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: it finished, it was stopped by ``signal``, or it failed because of ``why``."""

    how: Literal["finished", "stopped", "failed"]
    why: str = ""
    signal: int = 0


class Launch:
    """The state and tasks of one launcher process. Use `launch`."""

    def __init__(self, plan: Plan, run: RunFolder, show: Show) -> None:
        self._plan = plan
        self._run = run
        self._show = show
        self._begun = time.monotonic()
        self._watch = Watch(plan.settings, {process.instance: process.role for process in plan.processes})
        self._metrics = Metrics(run, "launcher")
        self._keeper = Keeper(run, plan.settings, show)
        self._pages = MetricsPages(plan.settings.metrics, run, self._watch, show)
        self._next = 1
        self._outcome: Outcome | None = None
        self._over = anyio.Event()
        self._heard = anyio.Event()
        self._to_say: MemoryObjectSendStream[Fault]
        self._faults: MemoryObjectReceiveStream[Fault]
        self._to_say, self._faults = anyio.create_memory_object_stream[Fault](FAULTS)

    @property
    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _end(self, outcome: Outcome) -> None:
        if self._outcome is None:
            self._outcome = outcome
            self._over.set()

    async def live(self, lock: int) -> Outcome:
        mesh = self._plan.settings.mesh
        async with (
            supervise(logs=self._run.logs, on_exit=self._exited, restarts=mesh.restarts, pass_fds=[lock]) as supervisor,
            _signals(self._signalled(supervisor)),
        ):
            for process in self._plan.processes:
                key = None if process.role == "hub" else self._run.key_of(process.instance)
                argv = command(
                    process.instance, process.role, self._run, lifeline=supervisor.lifeline, hold=[lock], key=key
                )
                await supervisor.start(
                    Spec(
                        instance=process.instance,
                        argv=argv,
                        env=environment(),
                        stage=process.stage,
                        grace=process.grace,
                    )
                )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pages.serve)
                tasks.start_soon(self._attend)
                tasks.start_soon(self._ticks, supervisor)
                tasks.start_soon(self._guard)
                await self._over.wait()
                tasks.cancel_scope.cancel()
            self._show.event("ending the processes")
            await supervisor.stop()
            if supervisor.forced:
                self._show.event(f"killed, as they did not end in time: {', '.join(supervisor.forced)}")
        self._record_health()
        assert self._outcome is not None
        return self._outcome

    async def _guard(self) -> None:
        self._end(Outcome(how="failed", why=await Guard(self._run, self._show).watch()))

    # -- the launcher's own connection to the mesh

    async def _attend(self) -> None:
        name = lines.LAUNCHER
        key = read_key(self._run.key_of(name))
        while True:
            endpoint = self._run.endpoint
            try:
                async with (
                    connect(endpoint, role=name, instance=name, run=self._run, key=key, timeout=HUB_SECONDS) as mesh,
                    anyio.create_task_group() as tasks,
                ):
                    self._pages.mesh = mesh
                    tasks.start_soon(self._follow, mesh)
                    tasks.start_soon(self._listen, mesh)
                    tasks.start_soon(self._say_faults, mesh)
                    tasks.start_soon(self._keeper.keep, mesh)
                    await anyio.sleep_forever()
            except* ProtocolError as errors:
                # The hub did not answer in time. If it cannot be restarted, the supervisor gives up and the run ends.
                self._show.event(f"no word from the hub at {endpoint}: {errors.exceptions[0]}")
            finally:
                self._pages.mesh = None
            await anyio.sleep(AGAIN_SECONDS)

    async def _follow(self, mesh: Mesh) -> None:
        async with mesh.subscribe(*READS, start=self._next) as stream:
            if self._plan.resume and self._next == 1:
                async for delivery in stream.past():
                    self._hear(delivery)
                if found := self._watch.state.round:
                    self._show.event(f"goes on at round {found.number}, {found.phase}")
                await self._look()
            async for delivery in stream:
                self._hear(delivery)
                if text := lines.event(delivery, self._watch):
                    self._show.event(harmless(text))
                await self._look()

    def _hear(self, delivery: Delivery) -> None:
        self._next = delivery.offset + 1
        self._watch.hear(delivery, self._now)

    async def _look(self) -> None:
        """Ends the run if it is done, after the services' last heartbeats."""
        if self._watch.done:
            since = self._now
            members = [member for member in self._watch.members.values() if member.heard]
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                while any(member.heard < since for member in members):
                    await self._heard.wait()
            self._end(Outcome(how="finished"))

    async def _listen(self, mesh: Mesh) -> None:
        waiting = True
        async with mesh.listen("health", "progress") as stream:
            async for delivery in stream:
                before = self._watch.storage_full
                self._watch.hear_live(delivery, self._now)
                if self._watch.storage_full != before:
                    self._show.event("there is space again" if before else lines.status(self._watch))
                self._heard.set()
                self._heard = anyio.Event()
                if waiting and not self._watch.unready:
                    waiting = False
                    self._show.event("all processes are ready")
                    self._metrics.write("ready", seconds=round(self._now, 2))

    async def _say_faults(self, mesh: Mesh) -> None:
        async for fault in self._faults:
            await mesh.publish("faults", fault)

    # -- the processes

    async def _exited(self, exit: Exit) -> None:
        self._watch.exited(exit, self._now)
        text = lines.exited(exit)
        self._show.event(text)
        self._record_health(exit.instance)
        if exit.again_in is not None:
            self._metrics.write("restart", service=exit.instance, how=exit.how)
        if exit.code == 0:
            return
        try:
            self._to_say.send_nowait(Fault(service=exit.instance, what=text, why="\n".join(exit.tail)))
        except anyio.WouldBlock:
            self._show.event("too many faults wait for the hub: this one is only in the logs")
        if exit.again_in is None:
            log = self._run.log_of(exit.instance)
            again = "starting it again would not help" if exit.code == HOPELESS else "it died too often"
            last = "\n".join(f"    {line}" for line in exit.tail)
            self._end(Outcome(how="failed", why=f"{exit.instance} {exit.how}, and {again}. {log} ends with\n{last}"))

    def _signalled(self, supervisor: Supervisor) -> Callable[[signal.Signals], Awaitable[None]]:
        asked: float | None = None

        async def handle(number: signal.Signals) -> None:
            nonlocal asked
            if self._over.is_set():
                # One event may cause two signals: kernel and shell report a closed terminal, `timeout` signals twice.
                if number != signal.SIGHUP and (asked is None or self._now - asked >= SAME_SECONDS):
                    self._show.event(f"{number.name} again: killing what is left")
                    supervisor.kill()
            else:
                asked = self._now
                self._show.event(f"{number.name}: ending; once more kills at once")
                self._end(Outcome(how="stopped", signal=number))

        return handle

    # -- what is shown and recorded

    async def _ticks(self, supervisor: Supervisor) -> None:
        recorded = -HEALTH_SECONDS
        stalled = False
        while True:
            self._show.tick(self._watch)
            if self._now - recorded >= HEALTH_SECONDS:
                recorded = self._now
                self._measure_hub(supervisor.pids.get("hub"))
                self._record_health()
            quiet = self._now - self._watch.moved
            if quiet < STALL_SECONDS:
                stalled = False
            elif not stalled:
                stalled = True
                self._show.event(f"nothing has happened for {quiet:.0f} s: see the logs in {self._run.logs}")
            await anyio.sleep(TICK_SECONDS)

    def _measure_hub(self, pid: int | None) -> None:
        """Measures the hub from outside: it sends no heartbeats, because they would pass through itself."""
        with suppress(psutil.Error):
            if pid is not None:
                rss = psutil.Process(pid).memory_info().rss
                self._watch.members["hub"].health = Health(
                    role="hub", instance="hub", pid=pid, ready=True, rss_bytes=rss
                )

    def _record_health(self, *instances: str) -> None:
        for member in self._watch.members.values():
            if member.health and (not instances or member.instance in instances):
                health = member.health
                own = {"service": health.instance, "pid": health.pid, "rss_bytes": health.rss_bytes}
                self._metrics.write("health", **{**health.gauges, **own, "lag": health.loop_lag_seconds})
        if not instances:
            me = psutil.Process()
            self._metrics.write("health", service="launcher", pid=me.pid, rss_bytes=me.memory_info().rss)


@asynccontextmanager
async def _signals(handle: Callable[[signal.Signals], Awaitable[None]]) -> AsyncGenerator[None]:
    """Calls `handle` for each SIGINT, SIGTERM and SIGHUP while the block runs. Ignored signals stay ignored."""

    async def receive(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        with receiving(*ENDING) as signals:
            task_status.started()
            async for number in signals:
                await handle(number)

    async with anyio.create_task_group() as tasks:
        await tasks.start(receive)
        yield
        tasks.cancel_scope.cancel()


async def launch(plan: Plan, run: RunFolder, lock: int, show: Show) -> Outcome:
    """Runs the plan in its folder until the end; the caller holds the folder's lock. No started process remains."""
    metrics = Metrics(run, "launcher")
    metrics.write("session", event="start", profile=plan.profile, resume=plan.resume)
    try:
        return await Launch(plan, run, show).live(lock)
    finally:
        metrics.write("session", event="end")
