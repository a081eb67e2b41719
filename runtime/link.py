"""A client's connection to the hub: numbered requests, their answers, and reconnection after the hub restarts.

A restarted hub does not know the session. The client then sends a new hello, registers its calls again, and repeats
all unanswered requests. That is safe because every command is idempotent.
"""

import itertools
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import msgspec

from protocols import commands as c
from protocols.errors import Busy, DeadlineExceeded, ProtocolError, Replaced, from_code
from runtime.sockets import Socket

log = logging.getLogger("selu.mesh")

HELLO_SECONDS = 1.0
"""How long to wait for a welcome before the hello is sent again."""
NOBODY = "is the run up, and the endpoint right?"
ORPHANS = 1024
"""Cancelled requests that are remembered, to release the leases in late answers."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC

Orphan = Callable[[c.Response], c.Command | None]
Worker = Callable[[c.Work, list[bytes]], Coroutine[Any, Any, None]]


def hello_now(role: str, instance: str, *, ticket: str = "") -> c.Hello:
    """Returns the hello of a client that starts now."""
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # the hub then takes the hello that arrives last
        boot = ""
    return c.Hello(role=role, instance=instance, ticket=ticket, began=time.clock_gettime_ns(_CLOCK), boot=boot)


class _Pending(msgspec.Struct):
    frames: list[bytes]
    done: anyio.Event
    reply: c.Response | None = None
    payload: list[bytes] = msgspec.field(default_factory=list)


class Link:
    """One session with the hub. The other methods wait until the task that calls `run` is running."""

    def __init__(self, socket: Socket, endpoint: str, hello: c.Hello) -> None:
        self._socket = socket
        self.endpoint = endpoint
        self._hello = hello
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._orphans: dict[int, Orphan] = {}
        self._welcomed = anyio.Event()
        self._settled = anyio.Event()
        self._refused: ProtocolError | None = None
        self._said: set[int] = set()
        self._serving: dict[str, int] = {}
        self._work: Worker | None = None
        self.welcome: c.Welcome | None = None
        self.trouble = ""
        """The likely reason for a missing answer, empty if unknown."""
        self.hellos = 0

    async def ready(self, timeout: float) -> c.Welcome:
        """Waits for the hub's welcome. Raises `DeadlineExceeded` with the endpoint, or the error of a refused hello."""
        with anyio.move_on_after(timeout):
            await self._settled.wait()
        if self._refused is not None:
            raise self._refused
        if self.welcome is None:
            raise DeadlineExceeded(f"no hub answered at {self.endpoint} within {timeout:g} s: {self.trouble or NOBODY}")
        return self.welcome

    def refuse(self, error: ProtocolError) -> None:
        """Ends this session: pending and future requests raise `error`."""
        if self._refused is None:
            self._refused = error
            self._settled.set()
            for pending in self._pending.values():
                pending.done.set()

    async def request(
        self,
        command: c.Command,
        payload: Sequence[bytes] = (),
        *,
        timeout: float,
        orphan: Orphan | None = None,
    ) -> tuple[c.Response, list[bytes]]:
        """Sends a command and waits for its answer.

        If the answer arrives after the caller was cancelled or timed out, `orphan` receives it and returns a command to
        send back, or None.

        Raises:
            DeadlineExceeded: no answer within `timeout` seconds.
            ProtocolError: the hub refused the command.
        """
        if self._refused is not None:
            raise self._refused
        number = next(self._numbers)
        pending = self._pending[number] = _Pending(c.pack(number, command, list(payload)), anyio.Event())
        try:
            with anyio.move_on_after(timeout):
                if self._welcomed.is_set():
                    await self._socket.send(pending.frames)
                await pending.done.wait()
        finally:
            del self._pending[number]
            if orphan is not None and not pending.done.is_set():
                self._orphans[number] = orphan
                while len(self._orphans) > ORPHANS:
                    del self._orphans[next(iter(self._orphans))]
        if pending.reply is None:
            if self._refused is not None:
                raise self._refused
            raise DeadlineExceeded(
                f"the hub at {self.endpoint} did not answer {type(command).__name__} in {timeout:g} s"
            )
        if isinstance(pending.reply, c.Refused):
            raise from_code(pending.reply.code, pending.reply.text)
        return pending.reply, pending.payload

    async def send(self, command: c.Command, payload: Sequence[bytes] = ()) -> None:
        """Sends a command that the hub does not answer."""
        await self._socket.send(c.pack(next(self._numbers), command, list(payload)))

    def send_nowait(self, command: c.Command, payload: Sequence[bytes] = ()) -> bool:
        """Sends such a command if the session is up and the queue has room; returns whether it was sent."""
        return self._welcomed.is_set() and self._socket.send_nowait(c.pack(next(self._numbers), command, list(payload)))

    def on_work(self, handler: Worker) -> None:
        """Sets the function that runs calls from the hub, each in a task of its own."""
        self._work = handler

    async def serve(self, method: str, capacity: int, *, timeout: float) -> None:
        """Asks the hub for calls of `method`, now and after every reconnection. A capacity of 0 ends this."""
        if capacity:
            self._serving[method] = capacity
        else:
            self._serving.pop(method, None)
        await self.request(c.Serve(method=method, capacity=capacity), timeout=timeout)

    async def run(self) -> None:
        """Receives answers and sends pings until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_alive)
            while True:
                frames = await self._socket.receive()
                try:
                    number, body, payload = c.split(frames)
                    reply = c.parse_response(body)
                except ProtocolError as error:
                    log.warning("ignored an answer that cannot be read: %s", error)
                    continue
                await self._take(number, reply, payload, tasks)

    async def _take(self, number: int, reply: c.Response, payload: list[bytes], tasks: anyio.abc.TaskGroup) -> None:
        match reply:
            case c.Welcome():
                await self._welcome_received(reply)
            case c.Pong():
                pass
            case c.Work():
                if self._work is not None:
                    tasks.start_soon(self._work, reply, payload)
            case c.Refused(code=c.UNKNOWN_SESSION):
                if self._welcomed.is_set():
                    self._welcomed = anyio.Event()
                    await self._say_hello()
            case c.Refused(code=Replaced.code):  # a new hello would take the name back, and so on
                self.refuse(from_code(reply.code, reply.text))
            case c.Refused() if number in self._said:
                if reply.code != Busy.code:
                    self.refuse(from_code(reply.code, reply.text))
            case _:
                pending = self._pending.get(number)
                if pending is not None and not pending.done.is_set():
                    pending.reply, pending.payload = reply, payload
                    pending.done.set()
                elif (orphan := self._orphans.pop(number, None)) and (back := orphan(reply)) is not None:
                    await self.send(back)

    async def _welcome_received(self, welcome: c.Welcome) -> None:
        if self._welcomed.is_set():
            return
        self.welcome = welcome
        self.hellos += 1
        for method, capacity in self._serving.items():
            await self.send(c.Serve(method=method, capacity=capacity))
        for pending in list(self._pending.values()):
            if not pending.done.is_set():
                await self._socket.send(pending.frames)
        self._said.clear()
        self._settled.set()
        self._welcomed.set()

    async def _say_hello(self) -> None:
        number = next(self._numbers)
        self._said.add(number)
        await self._socket.send(c.pack(number, self._hello))

    async def _keep_alive(self) -> None:
        while self._refused is None:
            if not self._welcomed.is_set():
                await self._say_hello()
                with anyio.move_on_after(HELLO_SECONDS):
                    await self._welcomed.wait()
            else:
                await self.send(c.Ping())
                await anyio.sleep(self.welcome.ping_seconds if self.welcome else HELLO_SECONDS)
