"""Full rounds over VirtualHome: in both modes, with players that die, and as a user starts one with a real model."""

import json
import shlex
import sys
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from protocols.messages import Adapter, Evaluation, Fault, Relabel, Round, Trajectory, Verdict
from scripts.soaking.checker import read
from services.settings import Evaluator, Run, Simulator, Trainer, World
from tests.mesh.launched import MICRO_LEARNS, launched
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 120
STANDIN = Path(__file__).parents[1] / "standins" / "virtualhome" / "player.py"
PLAYER = f"{shlex.quote(sys.executable)} {shlex.quote(str(STANDIN))}"
UNITY = {"mode": "unity", "player": PLAYER, "frame": 64, "call_seconds": 20.0, "start_seconds": 60.0}
SETTINGS = msgspec.structs.replace(
    SMALL,
    run=Run(rounds=1),
    simulator=Simulator(quota=24, episodes=4),
    trainer=Trainer(min_rows=2),
    evaluator=Evaluator(tasks=3, judgements=4, episodes=2),
)


def over(**options: str | int | float | bool) -> World:
    return World(name="virtualhome", options=options)


@pytest.mark.parametrize("options", [{"mode": "graph", "frame": 64}, UNITY], ids=["graph", "unity"])
async def test_a_round_is_collected_judged_relabelled_and_learned_from(
    short_path: Path, options: dict[str, str | int | float | bool]
) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    settings = msgspec.structs.replace(SETTINGS, world=over(**options))
    with anyio.fail_after(SECONDS):
        async with whole_mesh(short_path, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
    trajectories = of(log, Trajectory)
    assert len(trajectories) == 24 and {t.ended for t in trajectories} <= {"done", "limit"}
    assert {t.world for t in trajectories} == {"virtualhome"}
    assert all(step.admissible for t in trajectories for step in t.steps)
    assert {t.id for t in trajectories} == {v.trajectory for v in of(log, Verdict)}
    assert of(log, Relabel)
    assert {(a.role, a.version) for a in of(log, Adapter)} == {("critic", 1), ("actor", 1)}
    assert {(e.role, e.version) for e in of(log, Evaluation)} >= {("actor", 0), ("actor", 1)}
    assert of(log, Round)[-1].phase == "finished"
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


async def test_episodes_whose_player_dies_are_cut_short_and_the_round_goes_on(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_VH_FAULT", "exit")
    monkeypatch.setenv("STANDIN_VH_AT", "render_script:9")
    settings = msgspec.structs.replace(SETTINGS, world=over(**UNITY))
    with anyio.fail_after(SECONDS):
        async with whole_mesh(short_path, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
    trajectories = of(log, Trajectory)
    cut = [t for t in trajectories if t.ended == "truncated"]
    assert len(trajectories) == 24 and 0 < len(cut) < 24
    assert all("render_script was cut off" in t.cause and "exit code 3" in t.cause for t in cut)
    assert {f.what.split()[1] for f in of(log, Fault) if f.service == "simulator-0"} == {t.id for t in cut}
    assert {v.trajectory for v in of(log, Verdict)} == {t.id for t in trajectories} - {t.id for t in cut}
    assert of(log, Round)[-1].phase == "finished"


async def test_the_shipped_profile_teaches_the_micro_model_without_vllm(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    player = (f"world.options.player={json.dumps(PLAYER)}", "world.options.frame=128")
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *player, *MICRO_LEARNS, profile="virtualhome") as run:
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            messages = read(run.run)
    trajectories = [t for t in messages["trajectories"].values() if isinstance(t, Trajectory)]
    assert len(trajectories) == 12 and {t.ended for t in trajectories} <= {"done", "limit"}
    assert max(len(step.admissible) for t in trajectories for step in t.steps) > 10  # and so in its prompts
    adapters = {a.role: a for a in messages["adapters"].values() if isinstance(a, Adapter)}
    assert adapters["critic"].promoted, adapters["critic"].reason
    assert adapters["actor"].promoted or adapters["actor"].reason
    # Of 12 trajectories in a world that is not its own the model may believe none to have succeeded, and says so.
    refused = set() if adapters["actor"].promoted else {"actor@1/refused"}
    assert set(messages["faults"]) == refused, messages["faults"]
    assert {"actor@0", "critic@0", "critic@1"} <= set(messages["evaluations"])
    assert run.run.report_file.exists()
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
