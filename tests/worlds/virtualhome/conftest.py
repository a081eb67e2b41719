"""VirtualHome over the stand-in player, and what must be gone when it is closed."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from services.worlds.virtualhome.player import _free_port
from services.worlds.virtualhome.world import VirtualHome

STANDIN = Path(__file__).parents[2] / "standins" / "virtualhome" / "player.py"
COMMAND = f"{shlex.quote(sys.executable)} {shlex.quote(str(STANDIN))}"

Make = Callable[..., VirtualHome]


@pytest.fixture
def home() -> Generator[Make]:
    """Makes worlds over players of their own, with short deadlines, and closes them."""
    made: list[VirtualHome] = []

    def make(**options: object) -> VirtualHome:
        defaults: dict[str, object] = {
            "mode": "unity", "player": COMMAND, "frame": 96, "call_seconds": 10.0, "start_seconds": 30.0,
        }  # fmt: skip
        made.append(VirtualHome(**{**defaults, **options}))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture(scope="session")
def running_player() -> Generator[str]:
    """The address of a player that runs already."""
    port = _free_port()
    player = subprocess.Popen([sys.executable, str(STANDIN), f"-http-port={port}"], start_new_session=True)
    try:
        process = psutil.Process(player.pid)
        until = time.monotonic() + 30
        while not process.net_connections(kind="tcp"):
            assert player.poll() is None and time.monotonic() < until
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(player.pid, signal.SIGKILL)
        player.wait()


def family() -> set[int]:
    """The processes below this one, zombies too."""
    return {process.pid for process in psutil.Process().children(recursive=True)}
