"""Four simulators, a player each, feed one mesh: every frame is what its own episode shows when played alone."""

import json
from pathlib import Path

import anyio
import pytest

from protocols.messages import Trajectory
from scripts.soaking.checker import read
from services.worlds.threaded import encode
from tests.mesh.launched import launched, producers, seen
from tests.standins.ai2thor.command import standin
from tests.worlds.ai2thor.conftest import simulator
from tests.worlds.ai2thor.test_processes import alive, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_players_left")]

SECONDS = 120
SIZE = 96


def alone(trajectories: list[Trajectory]) -> dict[str, list[str]]:
    """The digests of all frames of these episodes, acted again in one player with nothing beside it."""
    world, found = simulator(scenes="1-4", max_steps=10), {}
    try:
        for one in trajectories:
            task, first = world.reset(None, one.seed)
            assert task == one.task
            frames = [first.frame, *(world.step(step.action)[0].frame for step in one.steps), world.third_person()]
            del frames[len(one.steps)]  # what was seen after the last step is nobody's
            found[one.id] = [encode(frame).digest for frame in frames]
    finally:
        world.close()
    return found


@pytest.mark.parametrize("kill", ["", "simulator-1"])
async def test_no_simulator_takes_a_frame_of_another(kill: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    overrides = {
        "world.name": '"ai2thor"', "world.options.executable": json.dumps(standin(pids=pids)),
        "world.options.scenes": '"1-4"', "world.options.width": SIZE, "world.options.height": SIZE,
        "run.rounds": 1, "simulator.instances": 4, "simulator.episodes": 4, "simulator.quota": 16,
        "evaluator.enabled": "false",
    }  # fmt: skip
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *(f"{k}={v}" for k, v in overrides.items())) as run:
            if kill:
                await seen(run, "trajectories", 1, by=kill)
                assert run.kill(kill)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
    trajectories = [t for t in read(run.run)["trajectories"].values() if isinstance(t, Trajectory)]
    assert sorted(t.id for t in trajectories) == [f"r1-{index:05d}" for index in range(16)]
    assert {t.ended for t in trajectories} <= {"done", "limit"}
    assert producers(run, "trajectories") == {t.id: f"simulator-{t.index % 4}" for t in trajectories}
    shown = {t.id: [*(step.frame for step in t.steps), t.final_frame] for t in trajectories}
    assert shown == alone(trajectories)
    assert len({frames[0] for frames in shown.values()}) > 8  # or else a foreign frame would not be told apart
    assert len(pids.read_text().split()) == 4 + bool(kill)
    wait_until(lambda: not alive(pids))
