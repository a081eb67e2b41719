"""Signals that ask a process to end, and whether the process obeys them.

A signal that was ignored when the process started stays ignored: SIGHUP under ``nohup``, SIGINT and SIGQUIT in jobs
that a shell script starts with ``&``.
"""

import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType

import anyio
import anyio.abc

from runtime.sockets import background

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that was closed."""


def send(process: anyio.abc.Process, number: signal.Signals) -> None:
    """Sends a signal to a process that this one has started, unless it has ended.

    Its own ``send_signal``, ``terminate`` and ``kill`` reap a process that ends just then, before asyncio can; `wait`
    then returns 255 instead of the exit code (https://github.com/python/cpython/issues/87744).
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def heeded(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """The signals that this process does not ignore since its start."""
    return tuple(number for number in numbers if signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def receiving(*numbers: signal.Signals) -> Generator[AsyncIterator[signal.Signals]]:
    """The heeded ones among these signals as they come, while the block runs."""
    if wanted := heeded(*numbers):
        with anyio.open_signal_receiver(*wanted) as signals:  # noqa: TID251
            yield signals
    else:
        yield _never()


async def _never() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGTERM  # never: it makes this a generator


class Stopped:
    """``number`` is the signal that ended a block, 0 while none has."""

    number: int = 0

    def __bool__(self) -> bool:
        return self.number != 0


@asynccontextmanager
async def until_signalled(*numbers: signal.Signals) -> AsyncGenerator[Stopped]:
    """Cancels the block at the first of these signals that is heeded."""
    stopped = Stopped()
    with anyio.CancelScope() as scope:
        async with background() as tasks:

            async def wait() -> None:
                with receiving(*numbers) as signals:
                    async for number in signals:
                        stopped.number = number
                        scope.cancel()
                        return

            tasks.start_soon(wait)
            yield stopped


@contextmanager
def exiting(*numbers: signal.Signals) -> Generator[None]:
    """In the block a heeded signal raises SystemExit(128 + number), so that `finally` runs: by default it would not.

    An event loop that is run in the block may take the signals over; its end leaves them to the system's default.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handling(leave, heeded(*numbers)):
        yield


@contextmanager
def ignoring(*numbers: signal.Signals) -> Generator[None]:
    """Ignores these signals in the block."""
    with _handling(signal.SIG_IGN, numbers):
        yield


@contextmanager
def _handling(handler: object, numbers: tuple[signal.Signals, ...]) -> Generator[None]:
    before: dict[signal.Signals, object] = {}
    with suppress(ValueError):  # only the main thread may do this
        before = {number: signal.signal(number, handler) for number in numbers}  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)  # pyright: ignore[reportArgumentType]
