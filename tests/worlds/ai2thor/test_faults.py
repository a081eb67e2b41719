"""Every way in which a player can fail, over pipes and over HTTP: named, the player gone, and the world good for
another start."""

import os
import threading
from pathlib import Path

import psutil
import pytest

from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.world import WorldError
from tests.standins.ai2thor.command import DISPLAY, standin
from tests.worlds.ai2thor.conftest import Start


def run(world: Simulator | ProcessWorld) -> None:
    """An episode with all kinds of requests in it."""
    world.reset(None, 3)
    world.step("find fridge")
    world.step("open fridge")
    world.third_person()
    world.step("close fridge")
    world.third_person()
    world.truth()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("exit@OpenObject", r"ended while OpenObject \(exit code 3\)"),
        ("abort@OpenObject", r"ended while OpenObject \(signal 6\)"),
        ("segv@OpenObject", r"ended while OpenObject \(signal 11\)"),
        ("after@OpenObject", r"ended while .*ThirdPartyCamera \(exit code 0\)"),
        ("garbage@OpenObject", r"failed while OpenObject"),
        ("short@OpenObject", r"failed while OpenObject: .*reshape"),
        ("sequence@OpenObject", r"failed while OpenObject: .*Sequence id mismatch"),
        ("size@OpenObject", r"failed while OpenObject|a frame of 96x48x3 instead of 96x96"),
        ("scene@OpenObject", r"cannot be this player's: it is of scene FloorPlan430_physics, not FloorPlan1_physics"),
        ("pose@OpenObject", r"cannot be this player's: the agent moved by itself \(x is"),
        ("pose@TeleportFull", r"the agent is not where it was sent \(x is"),
        ("stale@TeleportFull", r"the agent moved and its view did not change"),
        ("camera@AddThirdPartyCamera", r"the camera is not where it was put"),
        ("cameras@UpdateThirdPartyCamera", r"2 frames of 2 cameras instead of 1"),
        ("exit@GetInteractablePoses", r"ended while GetInteractablePoses \(exit code 3\)"),
        ("exit@Reset#2", r"ended while resetting to FloorPlan1 \(exit code 3\)"),
        ("exit@Initialize", r"ended while starting \(exit code 3\)"),
        ("abort@Initialize", r"ended while starting \(signal 6\)"),
        ("start@", r"ended while starting \(exit code 9\)"),
    ],
)
@pytest.mark.parametrize("server", ["fifo", "wsgi"])
def test_a_player_that_fails_is_named_and_gone(
    server: str, fault: str, cause: str, tmp_path: Path, start: Start
) -> None:
    before = held()
    pids = tmp_path / "pids"
    with pytest.raises(WorldError, match=cause):
        run(start(told={"fault": fault, "pids": pids}, server=server))
    assert not [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]
    assert held() == before


def held() -> tuple[int, int, set[int]]:
    """Threads, pipes and ports of this process. The client leaves the log of its player open."""
    me = psutil.Process()
    opened = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    ports = {one.laddr.port for one in me.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN}
    return threading.active_count(), sum("pipe" in name for name in opened), ports


def test_over_http_what_another_player_says_is_passed_over(start: Start) -> None:
    one = start(told={"fault": "foreign@"}, server="wsgi")
    other = start(server="wsgi")
    for seed in range(2):
        frames = []
        for world in (one, other):
            world.reset(None, seed)
            frames.append((world.step("find fridge")[0].frame.tobytes(), world.third_person().tobytes()))
        assert frames[0] == frames[1]


@pytest.mark.parametrize(
    ("fault", "server", "cause"),
    [
        ("hang@OpenObject", "fifo", "ai2thor did not step within 1.5 s and was killed"),
        ("hang@OpenObject", "wsgi", "ai2thor did not step within 1.5 s and was killed"),
        ("hang@Reset#2", "fifo", "ai2thor did not reset within 1.5 s and was killed"),
        (
            "start-hang@",
            "fifo",
            "player did not start within 1.5 s; world.options.server = 'wsgi'.*selu doctor --world",
        ),
        ("start-hang@", "wsgi", "player did not start within 1.5 s; selu doctor --world"),
        ("hang@Initialize", "fifo", "player did not start within 1.5 s"),
        ("exit@OpenObject", "wsgi", r"ended while OpenObject \(exit code 3\)"),
    ],
)
def test_a_player_past_its_deadline_is_killed_with_its_display_and_another_is_started(
    fault: str, server: str, cause: str, tmp_path: Path
) -> None:
    pids, locks = tmp_path / "pids", tmp_path / "locks"
    locks.mkdir()
    executable = f"{DISPLAY} {locks} {standin(fault=fault, once=tmp_path / 'struck', pids=pids)}"
    hasty = {"start_seconds": ("start", "Init"), "reset_seconds": ("Reset",), "step_seconds": ("hang@Open",)}
    deadlines = {option: 1.5 if any(part in fault for part in where) else 20.0 for option, where in hasty.items()}
    world = ai2thor(executable=executable, scenes="1", width=96, height=96, server=server, **deadlines)
    with pytest.raises(WorldError, match=cause):
        run(world)
    world.deadlines, world._options["start_seconds"] = Deadlines(start=20, reset=20, step=20), 20.0
    run(world)
    world.close()
    players = list(map(int, pids.read_text().split()))
    assert len(players) == 2
    left = [psutil.Process(pid) for pid in players if psutil.pid_exists(pid)]
    assert not psutil.wait_procs(left, timeout=20)[1], "whoever adopted it may need a moment to reap it"
    assert list(locks.iterdir()) == []


def test_a_reset_may_take_longer_than_a_step() -> None:
    options = {"scenes": "1", "width": 96, "height": 96, "reset_seconds": 20.0, "step_seconds": 0.5}
    world = ai2thor(executable=standin(fault="slow@Reset#2"), **options)
    assert world.reset(None, 3)[0].verb
    world.close()
