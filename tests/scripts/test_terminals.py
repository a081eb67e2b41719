"""Runs whose terminal, pipe or session goes away: each goes on, or ends as one that was asked to."""

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from runtime.runfolder import RunFolder
from runtime.signals import send
from scripts.soaking.launched import Launched
from tests.mesh.launched import SMALL, observer, seen

pytestmark = pytest.mark.anyio
SECONDS = 60


@asynccontextmanager
async def started(
    folder: Path, stdout: int, *, before: str = "true", session: bool = False
) -> AsyncGenerator[Launched]:
    """A scripted run of many rounds that writes to a descriptor, once it plays. Nothing of it is left behind.

    The descriptor is closed here, ``before`` is a shell command that sets up what the run inherits, and with
    ``session`` the run leads a session of its own, as one on a terminal of its own does.
    """
    settings = [option for override in SMALL for option in ("--set", override)]
    selu = [sys.executable, "-m", "scripts.selu", "up", "--profile", "scripted", "--rounds", "60", *settings]
    process = await anyio.open_process(
        ["sh", "-c", f'{before}; exec "$@"', "sh", *selu, "--run", str(folder)],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=stdout, start_new_session=session,
    )  # fmt: skip
    os.close(stdout)
    run = Launched(process, RunFolder(folder))
    try:
        with anyio.fail_after(SECONDS):
            await seen(run, "trajectories", 3)
            yield run
    finally:
        with anyio.CancelScope(shield=True):
            send(process, signal.SIGKILL)  # its processes end by themselves when it is gone
            await process.wait()


def check_ended(run: Launched, code: int, wanted: int) -> None:
    """The run ended orderly: its report is there, and nothing says that it is up."""
    assert code == wanted
    assert run.run.summary_file.exists() and run.run.report_file.exists()
    assert not run.run.endpoints_file.exists()
    assert run.processes == {}


async def test_a_run_whose_reader_is_gone_goes_on_and_ctrl_c_ends_it_orderly(tmp_path: Path) -> None:
    read, write = os.pipe()
    async with started(tmp_path / "run", write) as run:
        os.close(read)
        await seen(run, "rounds", 6)
        send(run.process, signal.SIGINT)
        check_ended(run, await run.process.wait(), 128 + signal.SIGINT)


@pytest.mark.parametrize("ignored", [False, True], ids=["plain", "under nohup"])
async def test_a_terminal_that_closes_ends_a_run_orderly_unless_hang_ups_are_ignored(
    tmp_path: Path, ignored: bool
) -> None:
    ours, theirs = pty.openpty()
    before = "trap '' HUP" if ignored else "true"
    async with started(tmp_path / "run", theirs, before=before, session=True) as run:
        os.close(ours)
        send(run.process, signal.SIGHUP)  # what the kernel sends to the terminal's session
        if ignored:
            await seen(run, "rounds", 6)
            send(run.process, signal.SIGTERM)
        check_ended(run, await run.process.wait(), 128 + (signal.SIGTERM if ignored else signal.SIGHUP))


async def test_a_run_goes_on_when_the_last_logout_removes_its_private_folder(tmp_path: Path) -> None:
    async with started(tmp_path / "run", os.open(os.devnull, os.O_WRONLY)) as run:
        round_then = await rounds(run)
        shutil.rmtree(run.run.sockets_link.resolve())
        await seen(run, "rounds", round_then + 6)  # whoever attaches now finds the new sockets
        send(run.process, signal.SIGTERM)
        check_ended(run, await run.process.wait(), 128 + signal.SIGTERM)


async def rounds(run: Launched) -> int:
    """How many announcements of rounds the log holds now."""
    async with observer(run) as mesh, mesh.subscribe("rounds", start="start") as stream:
        return len([delivery async for delivery in stream.past()])
