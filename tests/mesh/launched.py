"""A real run as a user starts it: the launcher and its processes, watched and hurt from outside."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil

from protocols.codec import Envelope, unseal
from protocols.messages import Message
from runtime.log import Log
from runtime.mesh import Mesh, connect
from runtime.runfolder import RunFolder

SMALL = (
    "simulator.quota=12",
    "simulator.episodes=4",
    "evaluator.tasks=4",
    "evaluator.judgements=6",
    "trainer.min_rows=1",
    "mesh.session_seconds=2",
)


class Launched:
    """A launcher's process and its run folder."""

    def __init__(self, process: "anyio.abc.Process", run: RunFolder) -> None:
        self.process = process
        self.run = run

    def kill(self, instance: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one process of the run, found by its command line."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if instance in child.cmdline()[:4]:
                os.kill(child.pid, how)
                return
        raise AssertionError(f"{instance} is not running")

    def messages(self) -> dict[str, dict[str, Message]]:
        """All messages of the log by topic and id."""
        found: dict[str, dict[str, Message]] = defaultdict(dict)
        for said in self._envelopes():
            assert said.id not in found[said.topic]
            found[said.topic][said.id] = said.body
        return found

    def producers(self, topic: str) -> dict[str, str]:
        """Which instance said each message of a topic, by the message's id."""
        return {said.id: said.producer for said in self._envelopes() if said.topic == topic}

    def _envelopes(self) -> Iterator[Envelope]:
        log = Log(self.run.log_file, readonly=True)
        after = 0
        while records := log.read(after=after):
            yield from (unseal(record.envelope) for record in records)
            after = records[-1].offset
        log.close()


@asynccontextmanager
async def launched(folder: Path, *overrides: str, profile: str = "scripted") -> AsyncGenerator[Launched]:
    """Starts ``selu up`` and leaves nothing of it behind."""
    options = [option for override in (*SMALL, *overrides) for option in ("--set", override)]
    argv = [sys.executable, "-m", "scripts.selu", "up", "--profile", profile, "--run", str(folder), *options]
    with (folder.parent / "launcher.txt").open("wb") as output:
        process = await anyio.open_process(argv, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Launched(process, RunFolder(folder))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with anyio.move_on_after(15, shield=True):
                await process.wait()
            if process.returncode is None:
                process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


@asynccontextmanager
async def observer(run: Launched) -> AsyncGenerator[Mesh]:
    """Joins a run as soon as it has a hub."""
    with anyio.fail_after(15):
        while not run.run.sockets_link.exists():
            assert run.process.returncode is None, "the launcher ended"
            await anyio.sleep(0.02)
    async with connect(run.run.endpoint, role="observer", instance="observer", timeout=15) as mesh:
        yield mesh


async def seen(run: Launched, topic: str, count: int, *, by: str = "") -> None:
    """Waits until a topic has so many messages, all of them or an instance's."""
    async with observer(run) as mesh, mesh.subscribe(topic, start="start") as stream:
        left = count
        async for delivery in stream:
            left -= by in ("", delivery.producer)
            if not left:
                return
