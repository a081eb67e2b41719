"""A run that other machines can reach, from the keys to the end, with a consumer and a second critic that join it."""

import json
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from protocols.errors import NotAdmitted
from protocols.messages import Swap
from runtime.keys import KeysFolder, read_key
from runtime.mesh import connect
from runtime.runfolder import RunFolder
from runtime.settings import load
from runtime.signals import send
from scripts.soaking.checker import Learned, learned, read
from services.settings import Settings
from tests.mesh.launched import Launched, held, launched
from tests.mesh.whole import until_over, whole_mesh

pytestmark = pytest.mark.anyio
SECONDS = 60


def free_port() -> int:
    """A port that is free, with the next one free too."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            try:
                two.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except (OSError, OverflowError):
                continue
            return one.getsockname()[1]


async def selu(*arguments: str | Path) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "scripts.selu", *map(str, arguments)]
    ended = await anyio.run_process(argv, check=False)
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@asynccontextmanager
async def joined(*arguments: str | Path) -> AsyncGenerator[anyio.abc.Process]:
    """`selu join` while the block runs."""
    argv = [sys.executable, "-m", "scripts.selu", "join", *map(str, arguments)]
    process = await anyio.open_process(argv, stdout=None, stderr=None)
    try:
        yield process
    finally:
        send(process, signal.SIGTERM)
        with anyio.CancelScope(shield=True), anyio.move_on_after(SECONDS):
            await process.aclose()


async def undisturbed(folder: Path, settings: Settings) -> Learned:
    """What the same settings learn within one process, without any key."""
    async with whole_mesh(folder, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
        log = await until_over(mesh)
    return learned({"adapters": {delivery.id: delivery.message for delivery in log if delivery.topic == "adapters"}})


async def test_a_round_over_an_encrypted_network_learns_from_the_same(tmp_path: Path, short_path: Path) -> None:
    keys = KeysFolder(tmp_path / "keys")
    with anyio.fail_after(SECONDS):
        for name, role in (("anna", "observer"), ("critic-far", "critic")):
            code, said, _ = await selu("keys", "make", name, "--role", role, "--keys", keys.path)
            assert (code, said) == (0, f"{keys.file_of(name)}\n")
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        options = ("run.rounds=1", "trainer.collapse=1.0", f"mesh.endpoint={endpoint}", f"mesh.keys={keys.path}")
        async with launched(tmp_path / "run", *options) as run:
            await begun(run)
            settings = ("--settings", run.run.settings_file, "--run", tmp_path / "far")
            async with joined("--connect", endpoint, "--key", keys.file_of("critic-far"), *settings) as far:
                async with held(run):
                    attach = ("attach", "rounds", "--from", "start", "--json", "--count", "1")
                    for way in (("--connect", endpoint, "--key", keys.file_of("anna")), ("--run", run.run.path)):
                        code, said, complaint = await selu(*attach, *way)
                        assert (code, complaint) == (0, "") and json.loads(said)["message"]["number"] == 1
                    code, _, complaint = await selu(*attach, "--connect", endpoint)
                    assert re.search("asks? for a key", complaint) and code in (1, 2)
                    await serves("critic-far", endpoint, keys.file_of("anna"))
                assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
                send(far, signal.SIGTERM)
                assert await far.wait() == 128 + signal.SIGTERM
        messages = read(run.run)
        swaps = [swap for swap in messages["swaps"].values() if isinstance(swap, Swap)]
        assert {swap.instance for swap in swaps if swap.served} == {"actor-0", "critic-0", "critic-far"}
        found = learned(messages)
        assert found == await undisturbed(short_path, load(Settings, file=run.run.settings_file))
        assert len(found) == 2


async def test_on_ones_own_machine_a_process_is_what_its_key_says_too(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", "run.rounds=20") as run:
            await begun(run)
            private = run.run.sockets_link.resolve()
            assert private.stat().st_mode & 0o777 == 0o700
            assert {file.stat().st_mode & 0o777 for file in private.glob("*.key")} == {0o600}
            code, _, said = await selu("attach", "rounds", "--run", run.run.path, "--key", run.run.key_of("nobody"))
            assert code == 2 and "cannot read the key" in said
            code, file, _ = await selu("keys", "make", "mine", "--role", "relabeler", "--run", run.run.path)
            key = read_key(Path(file.strip()))
            async with connect(run.run.endpoint, role="relabeler", instance="mine", key=key) as mesh:
                assert (await mesh.status()).sessions["mine"] == "relabeler"
                assert (await selu("keys", "revoke", "mine", "--run", run.run.path))[0] == 0
                with pytest.raises(NotAdmitted, match="revoked"):
                    while True:
                        await mesh.tail()
            send(run.process, signal.SIGTERM)
            assert await run.process.wait() == 128 + signal.SIGTERM
        assert not private.exists()


async def begun(run: Launched) -> None:
    """Returns once the run has handed out its keys, the launcher's last, and its hub answers."""
    while not run.run.key_of("launcher").exists():
        assert run.process.returncode is None, "the launcher ended"
        await anyio.sleep(0.02)
    folder = RunFolder.open(run.run.path)
    key = read_key(folder.key_of("observer")) if folder.key_of("observer").exists() else None
    async with connect(folder.endpoint, role="observer", instance="observer", key=key, timeout=15):
        pass


async def serves(instance: str, endpoint: str, key: Path) -> None:
    """Returns once an instance answers calls."""
    async with connect(endpoint, role="observer", instance="anna", key=read_key(key)) as mesh:
        while True:
            if instance in (await mesh.status()).serving.get("ask", {}):
                return
            await anyio.sleep(0.05)
