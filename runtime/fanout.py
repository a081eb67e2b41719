"""The hub's PUB socket. It is reopened when a key is revoked, because every subscriber must then authenticate again."""

import errno
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskStatus

from runtime.sockets import Socket

REOPEN_SECONDS = 5.0
"""How long the closed socket may keep its address in use."""
PAUSE_SECONDS = 0.02

Open = Callable[[str], AbstractAsyncContextManager[Socket]]


class Fanout:
    """Sends messages to all subscribers. `keep` must be running. Messages sent while the socket reopens are lost."""

    def __init__(self, address: str, open: Open) -> None:
        self.address = address
        self._open = open
        self._socket: Socket | None = None
        self._again = anyio.Event()

    def send_nowait(self, frames: Sequence[bytes]) -> bool:
        """Sends one message without waiting; returns whether it was queued."""
        return self._socket is not None and self._socket.send_nowait(frames)

    def reopen(self) -> None:
        """Closes all subscribers' connections. Those with valid keys reconnect by themselves."""
        self._again.set()

    def bind_again(self, address: str) -> None:
        """Binds to this address in addition, and uses it for every later reopening. Raises `OSError`."""
        if self._socket is not None:
            self._socket.bind_again(address)
        self.address = address

    async def keep(self, *, task_status: TaskStatus[None]) -> None:
        """Keeps the socket open until cancelled. Raises `OSError` if the address is not available."""
        await self._hold(task_status)
        while True:
            deadline = anyio.current_time() + REOPEN_SECONDS
            while True:
                try:
                    await self._hold()
                    break
                except OSError as error:  # ZeroMQ releases an address some time after the close
                    if error.errno != errno.EADDRINUSE or anyio.current_time() > deadline:
                        raise
                    await anyio.sleep(PAUSE_SECONDS)

    async def _hold(self, task_status: TaskStatus[None] | None = None) -> None:
        again = self._again = anyio.Event()  # before the first subscriber can connect
        async with self._open(self.address) as socket:
            self._socket, self.address = socket, socket.address  # with the chosen port if it was 0
            if task_status is not None:
                task_status.started()
            try:
                await again.wait()
            finally:
                self._socket = None
