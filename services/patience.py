"""Waiting well: until a fold reaches a state, for a service that is away for a while, for all that was handed out."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import anyio

from protocols.errors import Busy, DeadlineExceeded, RemoteError, Unavailable
from protocols.messages import Message
from runtime.streams import Consumption, Delivery

T = TypeVar("T")

TRIES = 5
"""How often a call is made before its failure is the caller's."""
PAUSE_SECONDS = 0.2
"""The pause before the second try; each further one is twice as long."""


class Changes:
    """Wakes those who wait until a state, changed elsewhere in this process, is what they need."""

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], T | None]) -> T:
        """The condition's first answer that is neither None nor False. Waits without a bound: set a deadline around."""
        while True:
            changed, found = self._changed, condition()
            if found is not None and found is not False:
                return found
            await changed.wait()


class Caller(Protocol):
    """What makes calls: the mesh client."""

    async def call(self, method: str, request: Message, *, timeout: float) -> Any: ...


async def call_patiently(mesh: Caller, method: str, request: Message, *, timeout: float, tries: int = TRIES) -> Any:
    """A call that outlives a restart of whoever serves it: `tries` times `timeout` seconds.

    Only for calls that may be answered twice.

    Raises:
        Unavailable, Busy, DeadlineExceeded, RemoteError: what the last try met.
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
    """Handles deliveries concurrently, as many as the consumption holds at once, until it ends and all are done."""
    async with anyio.create_task_group() as tasks:
        async for delivery in stream:
            tasks.start_soon(handle, delivery)
