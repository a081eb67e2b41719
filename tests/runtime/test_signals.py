"""Signals: what ends a process, and what it was started to ignore."""

import os
import signal
from collections.abc import Generator

import anyio
import pytest

from runtime.signals import ENDING, exiting, heeded, ignoring, receiving, until_signalled

SECONDS = 10


@pytest.fixture
def ignored() -> Generator[signal.Signals]:
    """SIGHUP as under ``nohup``."""
    with ignoring(signal.SIGHUP):
        yield signal.SIGHUP


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.anyio
async def test_the_first_signal_ends_the_block_and_is_told() -> None:
    with anyio.fail_after(SECONDS):
        async with until_signalled(*ENDING) as stopped:
            assert not stopped
            await anyio.lowlevel.checkpoint()
            send(signal.SIGTERM)
            await anyio.sleep_forever()
    assert stopped.number == signal.SIGTERM


@pytest.mark.anyio
async def test_a_signal_that_was_ignored_at_the_start_stays_ignored(ignored: signal.Signals) -> None:
    with anyio.fail_after(SECONDS):
        with receiving(*ENDING) as signals:
            send(ignored, signal.SIGINT)
            async for number in signals:
                assert number == signal.SIGINT
                break
        with receiving(ignored):  # nothing is left to be received
            send(ignored)
    assert signal.getsignal(ignored) == signal.SIG_IGN
    assert heeded(*ENDING) == (signal.SIGINT, signal.SIGTERM)


def test_before_there_is_an_event_loop_a_signal_runs_what_cleans_up(ignored: signal.Signals) -> None:
    cleaned = False
    with pytest.raises(SystemExit) as end, exiting(signal.SIGTERM, ignored):
        send(ignored)
        try:
            send(signal.SIGTERM)
        finally:
            cleaned = True
    assert cleaned and end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
