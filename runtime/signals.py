"""Handling of signals that ask a process to end.

A signal that was ignored at the start of the process stays ignored: SIGHUP under ``nohup``, SIGINT and SIGQUIT in jobs
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
"""The signals of Ctrl-C, of `kill`, and of a closed terminal."""


def send(process: anyio.abc.Process, number: signal.Signals) -> None:
    """Sends a signal to a child process, unless it has ended.

    The process's own ``send_signal``, ``terminate`` and ``kill`` may reap it before asyncio does; ``wait`` then returns
    255 instead of the exit code (https://github.com/python/cpython/issues/87744).
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def heeded(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """Returns those of the signals that this process does not ignore."""
    return tuple(number for number in numbers if signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def receiving(*numbers: signal.Signals) -> Generator[AsyncIterator[signal.Signals]]:
    """Yields an iterator over arriving signals of this list, without those that the process ignores."""
    if wanted := heeded(*numbers):
        with anyio.open_signal_receiver(*wanted) as signals:  # noqa: TID251
            yield signals
    else:
        yield _never()


async def _never() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGTERM  # unreachable: makes this function a generator


class Stopped:
    """``number`` is the signal that cancelled the block, 0 if none has. True in a condition if one has."""

    number: int = 0

    def __bool__(self) -> bool:
        return self.number != 0


@asynccontextmanager
async def until_signalled(*numbers: signal.Signals) -> AsyncGenerator[Stopped]:
    """Cancels the block when the first of these signals arrives, except for those that the process ignores."""
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
    """Makes these signals raise SystemExit(128 + number) in the block, so that `finally` clauses run.

    Ignored signals stay ignored. An event loop in the block may replace the handlers, and resets them to the system's
    defaults when it ends.
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
    with suppress(ValueError):  # only the main thread may set handlers
        before = {number: signal.signal(number, handler) for number in numbers}  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)  # pyright: ignore[reportArgumentType]
