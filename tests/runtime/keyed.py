"""A hub that asks for keys, on loopback, and those who come with theirs."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import zmq

from protocols.messages import Progress
from runtime.hub import Hub, HubSettings, serve_hub
from runtime.keys import Key, KeysFolder, read_key
from runtime.mesh import Listener, Mesh, connect
from runtime.sockets import Curve, Socket, open_socket

LEARNING = ("simulator", "actor", "critic", "relabeler", "trainer")
"""The roles that must never see the world's truth."""


class Keyed:
    """A running hub with CURVE, and its keys."""

    def __init__(self, hub: Hub, keys: KeysFolder) -> None:
        self.hub = hub
        self.keys = keys

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.hub.address.removeprefix("tcp://").rpartition(":")
        return host, int(port)

    def key(self, name: str, role: str) -> Key:
        file = self.keys.file_of(name)
        return read_key(file if file.exists() else self.keys.make(name, role, hub=self.keys.hub_key().public))

    def join(self, role: str, *, via: str = "") -> AbstractAsyncContextManager[Mesh]:
        """Connects a role with a key of its own."""
        return self.show(self.key(f"{role}-0", role), via=via)

    def show(
        self, key: Key | None, *, role: str = "", name: str = "", via: str = "", timeout: float = 10.0
    ) -> AbstractAsyncContextManager[Mesh]:
        """Connects with a key, saying what it says or something else."""
        role, name = role or (key.role if key else "observer"), name or (key.name if key else "me")
        return connect(via or self.hub.address, role=role, instance=name, key=key, timeout=timeout)

    @asynccontextmanager
    async def raw(self, key: Key, kind: int = zmq.DEALER, *, connect: str = "") -> AsyncGenerator[Socket]:
        """A bare socket with a key; a SUB hears everything."""
        async with open_socket(
            kind, connect=connect or self.hub.address, curve=curve(key), subscribe=[b""] if kind == zmq.SUB else []
        ) as socket:
            yield socket


def curve(key: Key) -> Curve:
    return Curve(key.public, key.secret, key.hub)


def keyed_settings(folder: Path, keys: KeysFolder, **fields: object) -> HubSettings:
    values: dict[str, object] = {
        "endpoint": "tcp://127.0.0.1:0", "fanout": "tcp://127.0.0.1:0", "log_file": folder / "log.sqlite",
        "blobs": folder / "blobs", "ping_seconds": 0.1, "allowed": (keys.allowed_file,), "key": keys.hub_key(),
    }  # fmt: skip
    return HubSettings(**{**values, **fields})  # type: ignore[arg-type]


@asynccontextmanager
async def keyed_hub(folder: Path, **fields: object) -> AsyncGenerator[Keyed]:
    keys = KeysFolder(folder / "keys")
    keys.create()
    async with serve_hub(keyed_settings(folder, keys, **fields)) as hub:
        yield Keyed(hub, keys)


# -- the live feed


def progress(what: str) -> Progress:
    return Progress(role="trainer", what=what, done=1, total=2)


async def say(mesh: Mesh, what: str) -> None:
    """Says it on the live feed again and again, until cancelled."""
    while True:
        await mesh.emit("progress", progress(what))
        await anyio.sleep(0.01)


async def hears(live: Listener, speaker: Mesh, what: str) -> None:
    """Returns once what the speaker says has come through."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say, speaker, what)
        async for delivery in live:
            if delivery.message == progress(what):
                break
        tasks.cancel_scope.cancel()


def drained(socket: Socket) -> Iterator[bytes]:
    """All frames that have come to a socket and were not received yet."""
    while socket.raw.poll(0):
        yield from socket.raw.recv_multipart(zmq.NOBLOCK)
