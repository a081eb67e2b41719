"""A TCP proxy between clients and a hub that injects delays, throttling, resets, torn frames and partitions."""

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc

CHUNK = 65536
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class _Far:
    """The hub's side of a connection: a Unix socket. It replaces anyio's stream, which raises in asyncio's callbacks if
    it is cancelled while bytes arrive."""

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
    """A client's connection (``near``) and the connection to the hub for it (``far``)."""

    def __init__(self, near: anyio.abc.SocketStream, far: _Far, scope: anyio.CancelScope) -> None:
        self.near = near
        self.far = far
        self.scope = scope
        self.halve = False
        self.forgotten = anyio.Event()

    def cut(self) -> None:
        """Closes both at once. The client gets a TCP reset, as from a machine that has restarted."""
        with suppress(OSError):
            raw: socket.socket = self.near.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.scope.cancel()


class Proxy:
    """Made by `proxied`. Its faults can be changed while connections are open.

    ``delay`` is the delay of each piece in seconds; ``bytes_per_second`` limits a connection (0: no limit).
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
        """Resets every connection. Clients may reconnect at once."""
        for connection in list(self.connections):
            connection.cut()

    def halve(self) -> None:
        """Forwards half of each connection's next piece, then resets the connection: the receiver gets a torn frame."""
        for connection in self.connections:
            connection.halve = True

    def hold(self) -> None:
        """Simulates a partition: nothing is forwarded, and no connection ends. `go_on` forwards the held bytes."""
        if self._flowing.is_set():
            self._flowing = anyio.Event()

    def go_on(self) -> None:
        self._flowing.set()

    def forget(self) -> None:
        """Simulates half-open connections: the hub's side of each is closed, the client's side is open and silent."""
        for connection in list(self.connections):
            connection.forgotten.set()

    def heal(self) -> None:
        """Removes delays, throttling, pending torn frames and the partition."""
        self.delay, self.bytes_per_second = 0.0, 0
        for connection in self.connections:
            connection.halve = False
        self.go_on()

    async def serve(self, near: anyio.abc.SocketStream) -> None:
        self.accepted += 1
        try:
            far = _Far(self._path)
        except OSError:  # no hub: close at once
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
            return  # the client must notice by itself
        connection.cut()


@asynccontextmanager
async def proxied(endpoint: str) -> AsyncGenerator[Proxy]:
    """Runs a proxy on a free loopback port for a hub at an ``ipc://`` endpoint. The hub may start later."""
    path = endpoint.removeprefix("ipc://")
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    proxy = Proxy(f"tcp://127.0.0.1:{port}", path)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()
