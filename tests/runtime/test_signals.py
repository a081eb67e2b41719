"""Signals: what ends a process, what it was started to ignore, and what is sent to others."""

import os
import signal
from collections.abc import Generator

import anyio
import anyio.lowlevel
import pytest

from runtime.signals import ENDING, exiting, heeded, ignoring, receiving, send, until_signalled

SECONDS = 10
PROCESSES = 20


@pytest.fixture
def ignored() -> Generator[signal.Signals]:
    """SIGHUP as under ``nohup``."""
    with ignoring(signal.SIGHUP):
        yield signal.SIGHUP


def send_itself(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.anyio
async def test_the_first_signal_ends_the_block_and_is_told() -> None:
    with anyio.fail_after(SECONDS):
        async with until_signalled(*ENDING) as stopped:
            assert not stopped
            await anyio.lowlevel.checkpoint()
            send_itself(signal.SIGTERM)
            await anyio.sleep_forever()
    assert stopped.number == signal.SIGTERM


@pytest.mark.anyio
async def test_a_signal_that_was_ignored_at_the_start_stays_ignored(ignored: signal.Signals) -> None:
    with anyio.fail_after(SECONDS):
        with receiving(*ENDING) as signals:
            send_itself(ignored, signal.SIGINT)
            async for number in signals:
                assert number == signal.SIGINT
                break
        with receiving(ignored):  # nothing is left to be received
            send_itself(ignored)
    assert signal.getsignal(ignored) == signal.SIG_IGN
    assert heeded(*ENDING) == (signal.SIGINT, signal.SIGTERM)


def test_before_there_is_an_event_loop_a_signal_runs_what_cleans_up(ignored: signal.Signals) -> None:
    cleaned = False
    with pytest.raises(SystemExit) as end, exiting(signal.SIGTERM, ignored):
        send_itself(ignored)
        try:
            send_itself(signal.SIGTERM)
        finally:
            cleaned = True
    assert cleaned and end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.anyio
async def test_a_process_that_ends_while_signals_are_sent_to_it_is_known_by_its_exit_code() -> None:
    for _ in range(PROCESSES):
        with anyio.fail_after(SECONDS):
            async with await anyio.open_process(["sh", "-c", "exit 3"], stdout=None, stderr=None) as process:
                while process.returncode is None:
                    send(process, signal.SIGCONT)
                    await anyio.lowlevel.checkpoint()
                assert await process.wait() == 3
