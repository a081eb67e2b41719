"""A network on purpose bad: stands between clients and a hub, and delays, throttles, cuts, tears, stops and forgets."""

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc

CHUNK = 65536
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class _Far:
    """The hub's side of a connection: a Unix socket. anyio's own stream for those raises in asyncio's callbacks when it
    is cancelled just as bytes arrive."""

    def __init__(self, path: str) -> None:
        self._raw = socket.socket(socket.AF_UNIX)
        self._raw.setblocking(False)
        try:
            self._raw.connect(path)
        except OSError:
            self._raw.close()
            raise

    async def receive(self, size: int) -> bytes:
        while True:
            try:
                data = self._raw.recv(size)
            except BlockingIOError:
                await anyio.wait_readable(self._raw)
                continue
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._raw.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._raw)

    def close(self) -> None:
        if self._raw.fileno() >= 0:
            anyio.notify_closing(self._raw)
            self._raw.close()


_Stream = anyio.abc.SocketStream | _Far


class _Connection:
    """One client's connection and the one made for it to the hub."""

    def __init__(self, near: anyio.abc.SocketStream, far: _Far, scope: anyio.CancelScope) -> None:
        self.near = near
        self.far = far
        self.scope = scope
        self.halve = False
        self.forgotten = anyio.Event()

    def cut(self) -> None:
        """Ends both at once; the client is told by a reset, as by a machine that has restarted."""
        with suppress(OSError):
            raw: socket.socket = self.near.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.scope.cancel()


class Proxy:
    """Made by `proxied`. What it does to bytes can be changed while they flow.

    ``delay`` is seconds before each piece goes on; ``bytes_per_second`` (0: any) is what a connection may carry.
    """

    def __init__(self, endpoint: str, socket_path: str) -> None:
        self.endpoint = endpoint
        self.delay = 0.0
        self.bytes_per_second = 0
        self.connections: list[_Connection] = []
        self.accepted = 0
        self._path = socket_path
        self._flowing = anyio.Event()
        self._flowing.set()

    def cut(self) -> None:
        """Resets every connection. Clients may come again at once."""
        for connection in list(self.connections):
            connection.cut()

    def halve(self) -> None:
        """Lets half of each connection's next piece through, and then resets it: the hub is left with torn frames."""
        for connection in self.connections:
            connection.halve = True

    def hold(self) -> None:
        """Nothing passes, nobody is told: a partition. What was said meanwhile arrives after `go_on`."""
        if self._flowing.is_set():
            self._flowing = anyio.Event()

    def go_on(self) -> None:
        self._flowing.set()

    def forget(self) -> None:
        """The hub's side of every connection ends, and the client's side stays open, saying nothing: half-open."""
        for connection in list(self.connections):
            connection.forgotten.set()

    def heal(self) -> None:
        """A good network again, for those connected and those to come."""
        self.delay, self.bytes_per_second = 0.0, 0
        for connection in self.connections:
            connection.halve = False
        self.go_on()

    async def serve(self, near: anyio.abc.SocketStream) -> None:
        self.accepted += 1
        try:
            far = _Far(self._path)
        except OSError:  # no hub: refused, as its machine would
            await anyio.aclose_forcefully(near)
            return
        with anyio.CancelScope() as scope:
            connection = _Connection(near, far, scope)
            self.connections.append(connection)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._forget, connection)
                    tasks.start_soon(self._pump, connection, near, far)
                    tasks.start_soon(self._pump, connection, far, near)
            finally:
                self.connections.remove(connection)
                far.close()
                with anyio.CancelScope(shield=True):
                    await anyio.aclose_forcefully(near)

    async def _forget(self, connection: _Connection) -> None:
        await connection.forgotten.wait()
        connection.far.close()

    async def _pump(self, connection: _Connection, source: _Stream, sink: _Stream) -> None:
        with suppress(*_BROKEN):
            while True:
                data = await source.receive(CHUNK)
                if connection.forgotten.is_set():
                    continue
                await self._flowing.wait()
                if self.delay:
                    await anyio.sleep(self.delay)
                if self.bytes_per_second:
                    await anyio.sleep(len(data) / self.bytes_per_second)
                if connection.halve:
                    await sink.send(data[: len(data) // 2])
                    break
                await sink.send(data)
        if connection.forgotten.is_set() and source is connection.far:
            return  # the client is to notice by itself
        connection.cut()


@asynccontextmanager
async def proxied(endpoint: str) -> AsyncGenerator[Proxy]:
    """A proxy on a free loopback port, before a hub that listens at an ``ipc://`` endpoint or will."""
    path = endpoint.removeprefix("ipc://")
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    proxy = Proxy(f"tcp://127.0.0.1:{port}", path)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()
