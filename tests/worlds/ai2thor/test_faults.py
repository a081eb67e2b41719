"""Every way in which a player can fail over its pipes: named, the player gone, and the world good for another start."""

import time
from pathlib import Path

import psutil
import pytest

from services.worlds.ai2thor.simulator import Simulator
from services.worlds.ai2thor.world import ai2thor
from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.world import WorldError
from tests.standins.ai2thor.command import standin
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
        ("start@", r"ended while starting \(exit code 9\)"),
    ],
)
def test_a_player_that_fails_is_named_and_gone(fault: str, cause: str, tmp_path: Path, start: Start) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(WorldError, match=cause):
        run(start(told={"fault": fault, "pids": pids}))
    assert not [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("hang@OpenObject", "ai2thor did not step within 1.5 s and was killed"),
        ("hang@Reset#2", "ai2thor did not reset within 1.5 s and was killed"),
        ("start-hang@", "ai2thor did not make within 1.5 s and was killed"),
        ("abort@OpenObject", r"ended while OpenObject \(signal 6\)"),
    ],
)
def test_a_player_past_its_deadline_is_killed_and_another_is_started(fault: str, cause: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    executable = standin(fault=fault, once=tmp_path / "struck", pids=pids)
    hasty = {"start_seconds": "start", "reset_seconds": "Reset", "step_seconds": "hang@Open"}
    deadlines = {option: 1.5 if where in fault else 20.0 for option, where in hasty.items()}
    world = ai2thor(executable=executable, scenes="1", width=96, height=96, **deadlines)
    begun = time.monotonic()
    with pytest.raises(WorldError, match=cause):
        run(world)
    assert time.monotonic() - begun < 20
    world.deadlines = Deadlines(start=20, reset=20, step=20)
    run(world)
    world.close()
    players = list(map(int, pids.read_text().split()))
    assert len(players) == 2
    assert not [pid for pid in players if psutil.pid_exists(pid)]
