"""Helpers for waiting: until a state is reached, for a service that restarts, and for concurrent handlers."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import anyio

from protocols.errors import Busy, DeadlineExceeded, RemoteError, Unavailable
from protocols.messages import Message
from runtime.streams import Consumption, Delivery

T = TypeVar("T")

TRIES = 5
"""Number of attempts before a call's failure is raised."""
PAUSE_SECONDS = 0.2
"""Pause before the second attempt; each further pause is twice as long."""


class Changes:
    """Wakes tasks that wait until a state, changed elsewhere in this process, meets their condition."""

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], T | None]) -> T:
        """Returns the first result of the condition that is neither None nor False. Has no time limit of its own."""
        while True:
            changed, found = self._changed, condition()
            if found is not None and found is not False:
                return found
            await changed.wait()


class Caller(Protocol):
    """The part of the mesh client that makes calls."""

    async def call(self, method: str, request: Message, *, timeout: float) -> Any: ...


async def call_patiently(mesh: Caller, method: str, request: Message, *, timeout: float, tries: int = TRIES) -> Any:
    """Calls a method, with up to `tries` attempts of `timeout` seconds each, which survives a restart of the service.

    Use it only for calls that may be answered twice.

    Raises:
        Unavailable, Busy, DeadlineExceeded, RemoteError: the failure of the last attempt.
    """
    pause = PAUSE_SECONDS
    for left in reversed(range(tries)):
        try:
            return await mesh.call(method, request, timeout=timeout)
        except (Unavailable, Busy, DeadlineExceeded, RemoteError):
            if not left:
                raise
        await anyio.sleep(pause)
        pause *= 2
    raise ValueError("tries must be at least 1")


async def each(stream: Consumption, handle: Callable[[Delivery], Coroutine[Any, Any, None]]) -> None:
    """Handles deliveries concurrently until the stream ends and all handlers are done. The consumption's in-flight
    limit bounds their number."""
    async with anyio.create_task_group() as tasks:
        async for delivery in stream:
            tasks.start_soon(handle, delivery)
