"""Many players, one after another and at once: nothing is left of them, and none takes another's frames."""

import hashlib
import shlex
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from services.worlds import gpu
from services.worlds.virtualhome.player import Player, start_player
from services.worlds.virtualhome.unity import _answers
from services.worlds.virtualhome.world import VirtualHome
from tests.standins.ai2thor.command import DISPLAY
from tests.worlds.virtualhome.conftest import COMMAND, STANDIN, Make, family

BARE = shlex.split(f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(STANDIN.with_name('bare.py')))}")
RESTARTS = 20


def left_over() -> tuple[set[int], int, int, set[Path]]:
    """Processes, descriptors, threads and folders of this process's players."""
    folders = set(Path(tempfile.gettempdir()).glob("selu-virtualhome-*"))
    return family(), psutil.Process().num_fds(), threading.active_count(), {f for f in folders if f.is_dir()}


def test_many_restarts_leave_nothing_behind(tmp_path: Path) -> None:
    """Half of them have a display of their own, and half die by themselves."""
    before = left_over()
    helpers: list[psutil.Process] = []
    ports: set[int] = set()

    def restart(command: list[str]) -> None:
        for turn in range(RESTARTS // 2):
            player = start_player(command, display="", seconds=20, tries=1, answers=_answers)
            family = psutil.Process(player.pid).children(recursive=True)
            helpers.extend(p for p in family if p.name() == "sleep")
            ports.add(player.port)
            if turn % 2:
                next(p for p in family if p.name().startswith("python")).kill()
            player.kill()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(restart, BARE), pool.submit(restart, [str(DISPLAY), str(tmp_path), *BARE])]:
            done.result()
    assert left_over() == before
    assert len(helpers) >= 1.5 * RESTARTS - 2 and not any(helper.is_running() for helper in helpers)
    assert list(tmp_path.iterdir()) == []
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


def test_a_player_is_told_the_gpu_of_the_run(home: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "installed", tuple)
    monkeypatch.setattr(gpu, "vulkan_order", dict)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    for options, told in (({}, "2"), ({"gpu": 0}, "0")):
        home(**options).reset(None, 0)
        lines: list[list[str]] = []
        for pid in family():
            with suppress(psutil.Error):  # one of another test's that has ended
                lines.append(psutil.Process(pid).cmdline())
        assert any(line[-2:] == ["-force-device-index", told] for line in lines), lines
