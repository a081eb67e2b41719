"""A wire that is listened to: stands between clients and a hub, keeps what passes, and can say it again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc

_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Tap:
    """Made by `tapped`. ``said`` is what each connection's client said, ``heard`` what it was told."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.said: list[bytearray] = []
        self.heard: list[bytearray] = []
        self.ended: list[anyio.Event] = []
        self._far: list[anyio.abc.SocketStream] = []

    async def inject(self, connection: int, data: bytes) -> None:
        """Says something to the hub in a client's place."""
        await self._far[connection].send(data)

    async def serve(self, near: anyio.abc.SocketStream) -> None:
        said, heard, ended = bytearray(), bytearray(), anyio.Event()
        self.said.append(said)
        self.heard.append(heard)
        self.ended.append(ended)
        async with near, await anyio.connect_tcp(self._host, self._port) as far, anyio.create_task_group() as tasks:
            self._far.append(far)
            tasks.start_soon(_pump, near, far, said, tasks.cancel_scope)
            tasks.start_soon(_pump, far, near, heard, tasks.cancel_scope)
        ended.set()


async def _pump(
    source: anyio.abc.SocketStream, sink: anyio.abc.SocketStream, kept: bytearray, scope: anyio.CancelScope
) -> None:
    with suppress(*_BROKEN):
        while True:
            data = await source.receive()
            kept += data
            await sink.send(data)
    scope.cancel()


@asynccontextmanager
async def tapped(endpoint: str) -> AsyncGenerator[tuple[Tap, str]]:
    """The tap and the endpoint for clients."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    tap = Tap(host, int(port))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, tap.serve)
        yield tap, f"tcp://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()
