"""A client's connection to the hub: numbered requests, their answers, and starting over when the hub did.

Requests survive the hub's death: when it comes back it does not know this session, the link says hello again, serves
again what it served, and repeats everything unanswered. That is safe because every command is idempotent.
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
"""How long to wait for a welcome before saying hello again."""
NOBODY = "is the run up, and the endpoint right?"
ORPHANS = 1024
"""Abandoned requests remembered so that what their answers bring can be given back."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC

Orphan = Callable[[c.Response], c.Command | None]
Worker = Callable[[c.Work, list[bytes]], Coroutine[Any, Any, None]]


def hello_now(role: str, instance: str, *, ticket: str = "") -> c.Hello:
    """The hello of a client that begins now."""
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # then the hello that arrives last wins
        boot = ""
    return c.Hello(role=role, instance=instance, ticket=ticket, began=time.clock_gettime_ns(_CLOCK), boot=boot)


class _Pending(msgspec.Struct):
    frames: list[bytes]
    done: anyio.Event
    reply: c.Response | None = None
    payload: list[bytes] = msgspec.field(default_factory=list)


class Link:
    """One session with the hub. `run` must be running for anything to happen."""

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
        """Why there may be no answer, where something is known of it."""
        self.hellos = 0

    async def ready(self, timeout: float) -> c.Welcome:
        """Waits for the hub's welcome. Raises `DeadlineExceeded` naming the endpoint, or what the hub said instead."""
        with anyio.move_on_after(timeout):
            await self._settled.wait()
        if self._refused is not None:
            raise self._refused
        if self.welcome is None:
            raise DeadlineExceeded(f"no hub answered at {self.endpoint} within {timeout:g} s: {self.trouble or NOBODY}")
        return self.welcome

    def refuse(self, error: ProtocolError) -> None:
        """Ends this link: whatever waits for an answer, or asks for one later, raises `error`."""
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

        `orphan` says what to send back if the answer comes after the caller was cancelled.

        Raises:
            DeadlineExceeded: no answer within `timeout` seconds.
            ProtocolError: what the hub refused it with.
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
        """Sends a command that is never answered."""
        await self._socket.send(c.pack(next(self._numbers), command, list(payload)))

    def send_nowait(self, command: c.Command, payload: Sequence[bytes] = ()) -> bool:
        """Sends such a command if there is room; returns whether there was."""
        return self._welcomed.is_set() and self._socket.send_nowait(c.pack(next(self._numbers), command, list(payload)))

    def on_work(self, handler: Worker) -> None:
        self._work = handler

    async def serve(self, method: str, capacity: int, *, timeout: float) -> None:
        """Tells the hub to send calls of `method` here, now and after every reconnection; 0 withdraws."""
        if capacity:
            self._serving[method] = capacity
        else:
            self._serving.pop(method, None)
        await self.request(c.Serve(method=method, capacity=capacity), timeout=timeout)

    async def run(self) -> None:
        """Reads answers and keeps the session alive until cancelled."""
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
            case c.Refused(code=Replaced.code):  # saying hello again would take the name back, and so on
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
