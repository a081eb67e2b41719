"""The hub's sockets and their access control. Sockets that other machines can reach are encrypted."""

import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import zmq

from runtime.access import Access
from runtime.endpoints import is_local
from runtime.fanout import Fanout
from runtime.keys import Key
from runtime.settings import SettingsError
from runtime.sockets import Context, Curve, Socket, background, open_socket
from runtime.zap import ENDPOINT, admit_keys

log = logging.getLogger("selu.hub")


class Doors(msgspec.Struct, frozen=True):
    """The hub's sockets and its allow-lists. ``counts`` are totals by name, shared with the hub."""

    router: Socket
    fanout: Fanout
    access: Access
    counts: Counter[str]


REBIND_SECONDS = 0.5
"""How often the hub checks that the sockets' files exist."""


async def keep_reachable(doors: Doors, where: Callable[[], tuple[str, str]]) -> None:
    """Binds the Unix sockets again when their files were removed, until cancelled.

    ``where`` returns the current endpoints (ROUTER, PUB), whose folder may have moved. Existing connections continue.
    """
    bound = (doors.router.address, doors.fanout.address)
    while bound[0].startswith("ipc://"):
        await anyio.sleep(REBIND_SECONDS)
        wanted = where()
        if wanted == bound and all(_is_there(endpoint) for endpoint in bound):
            continue
        previous = os.umask(0o077)
        try:
            doors.router.bind_again(wanted[0])
            doors.fanout.bind_again(wanted[1])
        except OSError as error:  # their folder does not exist again yet
            log.debug("cannot listen again: %s", error)
        else:
            log.warning("the sockets were removed: listening again at %s", wanted[0])
            bound = wanted
        finally:
            os.umask(previous)


def _is_there(endpoint: str) -> bool:
    return Path(endpoint.removeprefix("ipc://")).exists()


@asynccontextmanager
async def open_doors(endpoint: str, fanout: str, *, allowed: Sequence[Path], key: Key | None) -> AsyncGenerator[Doors]:
    """Binds ROUTER and PUB.

    Raises:
        SettingsError: other machines can reach an endpoint, and there are no keys.
        OSError: an endpoint is in use.
    """
    for one in (endpoint, fanout):
        if not is_local(one) and (key is None or not allowed):
            raise SettingsError(f"{one} lets other machines in and needs keys: make some with `selu keys make`")
    if key is not None and not allowed:
        raise SettingsError("a hub with a key needs a list of the keys to let in")
    access, counts = Access(allowed), Counter[str]()
    curve = None if key is None else Curve(key.public, key.secret)
    # A ZeroMQ context has one ZAP handler, which decides on keys: each hub needs a context of its own for that.
    context = Context() if curve else None
    previous = os.umask(0o077)  # socket files under ipc:// are for this user only
    try:
        async with AsyncExitStack() as stack:
            if context is None:
                tasks = await stack.enter_async_context(background())
            else:
                asked = await stack.enter_async_context(open_socket(zmq.REP, bind=ENDPOINT, context=context))
                tasks = await stack.enter_async_context(background())
                tasks.start_soon(admit_keys, asked, access, counts)
            opening = partial(open_socket, curve=curve, context=context)
            router = await stack.enter_async_context(opening(zmq.ROUTER, bind=endpoint))
            door = Fanout(fanout, lambda at: opening(zmq.PUB, bind=at))
            await tasks.start(door.keep)
            os.umask(previous)
            yield Doors(router, door, access, counts)
    finally:
        os.umask(previous)
        if context is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(context.term)
