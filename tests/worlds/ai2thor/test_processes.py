"""Players in processes of their own: many at once without crosstalk, many in a row without leaks, none left over."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from protocols.codec import digest
from protocols.messages import Task
from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.world import World, WorldError
from tests.standins.ai2thor.command import DISPLAY, ROOT, standin

SMALL = {"width": 96, "height": 96, "start_seconds": 30.0}
PLAN = ("find fridge", "open fridge", "find mug", "pick up mug", "find counter top", "put mug on counter top")


def alive(pids: Path) -> list[int]:
    return [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]


def digests(world: World, seed: int) -> list[str]:
    """All that was seen in an episode."""
    seen = [world.reset(Task(id="open:fridge", instruction="", verb="open", object="fridge"), seed)[1].frame]
    for action in PLAN:
        seen += [world.step(action)[0].frame, world.third_person()]
    return [digest(frame.tobytes()) for frame in seen]


def test_four_players_at_once_see_what_each_sees_alone() -> None:
    def episodes(scene: int) -> list[list[str]]:
        world = ai2thor(executable=standin(), scenes=str(scene), **SMALL)
        try:
            return [digests(world, seed) for seed in range(3)]
        finally:
            world.close()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(episodes, (1, 2, 3, 4)))
    alone = [episodes(scene) for scene in (1, 2, 3, 4)]
    assert together == alone
    views = [{view for episode in world for view in episode} for world in together]
    assert all(not views[i] & views[j] for i in range(4) for j in range(i))
    assert min(map(len, views)) > 8


def leaks() -> tuple[int, int, list[str], int, int]:
    """Descriptors, threads, folders, children (zombies too) and shared frames of this process."""
    scratch = sorted(path.name for path in Path(tempfile.gettempdir()).glob("selu-world-*"))
    children = psutil.Process().children(recursive=True)
    frames = Path("/proc/self/maps").read_text().count("selu-frame")
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), scratch, len(children), frames


RESTARTS = 20


def test_many_restarts_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the players live in processes of their own, half in this one, where nothing ends what they leave. Half
    speak over pipes, beside a display of their own; the others over HTTP."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pids, locks = tmp_path / "pids", tmp_path / "locks"
    locks.mkdir()
    told = standin(pids=pids, fault="exit@OpenObject")
    ways = [{"server": "fifo", "executable": f"{DISPLAY} {locks} {told}"}, {"server": "wsgi", "executable": told}]
    before = leaks()

    def restart(way: dict[str, str]) -> None:
        world = ai2thor(**way, scenes="1", **SMALL)
        for _ in range(RESTARTS // 4):
            with pytest.raises(WorldError, match="exit code 3"):
                digests(world, 0)

    with ThreadPoolExecutor(2) as pool:
        apart = [pool.submit(restart, way) for way in ways]
        for turn in range(RESTARTS // 2):
            simulator = Simulator(**ways[turn % 2], scenes="1", **SMALL)
            with pytest.raises(WorldError, match="exit code 3"):
                digests(simulator, 0)
        for one in apart:
            one.result()
    assert leaks() == before
    assert len(pids.read_text().split()) == RESTARTS
    assert alive(pids) == []
    assert list(locks.iterdir()) == []


class Stubborn:
    """A simulator that has started two processes, will not end when asked, and never comes back from a step."""

    name = "stubborn"

    def __init__(self, note: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
        players = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        Path(note).write_text(" ".join(str(player.pid) for player in players))

    def reset(self, task: Task | None, seed: int) -> None:
        threading.Event().wait(3600)

    def close(self) -> None: ...


def stubborn(note: Path, reset: float = 3600) -> ProcessWorld:
    target = "tests.worlds.ai2thor.test_processes:Stubborn"
    return ProcessWorld("stubborn", target, {"note": str(note)}, Deadlines(start=30, reset=reset, step=1))


def start_reset(world: ProcessWorld, note: Path) -> tuple[threading.Thread, list[Exception]]:
    """A thread that waits for a reset that will not end, once its players run."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            world.reset(None, 0)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: note.exists() and len(note.read_text().split()) == 2)
    return thread, failed


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    tick = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        tick.wait(0.02)
    raise AssertionError("it never came to be")


def test_a_kill_from_another_thread_ends_a_call_and_the_whole_process_group(tmp_path: Path) -> None:
    note = tmp_path / "players"
    world = stubborn(note)
    thread, failed = start_reset(world, note)
    world.kill()
    thread.join(10)
    assert [type(error) for error in failed] == [WorldError]
    wait_until(lambda: not alive(note))
    with pytest.raises(WorldError, match="stubborn was given up"):
        world.reset(None, 0)


def test_players_end_with_the_process_that_used_them_even_if_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "players"
    code = (
        "import sys; from pathlib import Path; from tests.worlds.ai2thor.test_processes import stubborn;"
        "stubborn(Path(sys.argv[1])).reset(None, 0)"
    )
    user = subprocess.Popen([sys.executable, "-c", code, str(note)], cwd=ROOT)
    wait_until(lambda: note.exists() and len(note.read_text().split()) == 2)
    user.kill()
    user.wait()
    wait_until(lambda: not alive(note))


def test_a_process_that_cannot_make_its_simulator_says_why() -> None:
    world = ProcessWorld("none", "services.worlds.ai2thor.simulator:Nothing", {}, Deadlines(start=20))
    with pytest.raises(WorldError, match=r"AttributeError: .*no attribute 'Nothing'"):
        world.reset(None, 0)
    assert world.pid is None
    with pytest.raises(WorldError, match="no simulator running"):
        world.step("find fridge")
