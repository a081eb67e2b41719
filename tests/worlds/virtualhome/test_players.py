"""Many players, one after another and at once: nothing is left of them, and none takes another's frames."""

import hashlib
import shlex
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from services.worlds.virtualhome.player import Player, start_player
from services.worlds.virtualhome.unity import _answers
from services.worlds.virtualhome.world import VirtualHome
from tests.worlds.virtualhome.conftest import COMMAND, STANDIN, family

BARE = shlex.split(f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(STANDIN.with_name('bare.py')))}")
RESTARTS = 40


def left_over() -> tuple[set[int], int, int, set[Path]]:
    """Processes, descriptors, threads and folders of this process's players."""
    folders = set(Path(tempfile.gettempdir()).glob("selu-virtualhome-*"))
    return family(), psutil.Process().num_fds(), threading.active_count(), {f for f in folders if f.is_dir()}


def test_restarts_leave_nothing_behind() -> None:
    before, helpers, ports = left_over(), [], set()
    for turn in range(RESTARTS):
        player = start_player(BARE, display="", seconds=20, tries=1, answers=_answers)
        helpers += [p for p in psutil.Process(player.pid).children(recursive=True) if p.name() == "sleep"]
        ports.add(player.port)
        if turn % 2:
            for process in psutil.Process(player.pid).children():
                process.kill()  # it dies by itself
        player.kill()
    assert left_over() == before
    assert len(helpers) >= RESTARTS - 1 and not any(helper.is_running() for helper in helpers)
    assert not {c.laddr.port for c in psutil.Process().net_connections(kind="tcp")} & ports


def test_another_program_at_the_port_is_not_taken_for_the_player() -> None:
    """The first player cannot have its port, so that a second is started at another."""
    mute = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    one = start_player(BARE, display="", seconds=20, tries=1, answers=_answers)
    try:
        assert one.listens()
        other = Player(mute, "")
        other.port = one.port
        try:
            assert other.alive and not other.listens()
        finally:
            other.kill()
    finally:
        one.kill()


def test_four_players_at_once_take_nothing_of_one_another() -> None:
    actions = ("find fridge", "open fridge", "pick up apple", "find tv", "turn on tv")

    def play(world: VirtualHome, seed: int) -> list[str]:
        frames = [world.reset(None, seed)[1].frame]
        for action in actions:
            frames += [world.step(action)[0].frame, world.third_person()]
        return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]

    expected = {}
    for scene in range(4):
        # A scene of its own each, which looks different: no frame could be another's unnoticed.
        alone = VirtualHome(mode="graph", frame=96, arrange=False)
        alone._scenes = [scene]
        expected[scene] = [play(alone, seed) for seed in (scene, 100 + scene)]
    assert len({frame for runs in expected.values() for run in runs for frame in run[1:]}) >= 4 * 8
    options = {"mode": "unity", "player": COMMAND, "frame": 96, "arrange": False}
    worlds = {scene: VirtualHome(**options, scenes=str(scene)) for scene in range(4)}
    try:
        with ThreadPoolExecutor(4) as pool:
            runs = {s: pool.submit(lambda s=s: [play(worlds[s], seed) for seed in (s, 100 + s)]) for s in worlds}
            got = {scene: run.result(timeout=120) for scene, run in runs.items()}
    finally:
        for world in worlds.values():
            world.close()
    assert got == expected
