"""The hub's PUB socket: opened anew when a key is revoked, so that every subscriber has to show its key again."""

import errno
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskStatus

from runtime.sockets import Socket

REOPEN_SECONDS = 5.0
"""How long the address may stay taken by the socket that was closed."""
PAUSE_SECONDS = 0.02

Open = Callable[[str], AbstractAsyncContextManager[Socket]]


class Fanout:
    """Says things to whoever listens. Run `keep`; while the socket is being opened anew, what is said is lost."""

    def __init__(self, address: str, open: Open) -> None:
        self.address = address
        self._open = open
        self._socket: Socket | None = None
        self._again = anyio.Event()

    def send_nowait(self, frames: Sequence[bytes]) -> bool:
        """Says one message if there is room now; returns whether there was."""
        return self._socket is not None and self._socket.send_nowait(frames)

    def reopen(self) -> None:
        """Ends all subscribers' connections. Those whose keys still stand come back by themselves."""
        self._again.set()

    def bind_again(self, address: str) -> None:
        """Listens at this address too, and from now on opens there. Raises `OSError`."""
        if self._socket is not None:
            self._socket.bind_again(address)
        self.address = address

    async def keep(self, *, task_status: TaskStatus[None]) -> None:
        """Holds the socket open until cancelled. Raises `OSError` where the address cannot be had."""
        await self._hold(task_status)
        while True:
            deadline = anyio.current_time() + REOPEN_SECONDS
            while True:
                try:
                    await self._hold()
                    break
                except OSError as error:  # ZeroMQ gives an address back some time after the socket was closed
                    if error.errno != errno.EADDRINUSE or anyio.current_time() > deadline:
                        raise
                    await anyio.sleep(PAUSE_SECONDS)

    async def _hold(self, task_status: TaskStatus[None] | None = None) -> None:
        again = self._again = anyio.Event()  # before the first subscriber can come in
        async with self._open(self.address) as socket:
            self._socket, self.address = socket, socket.address  # with the port that was picked where it said 0
            if task_status is not None:
                task_status.started()
            try:
                await again.wait()
            finally:
                self._socket = None
