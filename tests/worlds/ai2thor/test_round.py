"""A whole round of SELU in AI2-THOR: every service on a real mesh, the released client, and a player that stands in."""

import json
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Evaluation, Fault, Outcome, Relabel, Round, Trajectory, Verdict
from scripts.soaking.checker import read
from services.settings import Evaluator, Run, Simulator, Trainer, World
from tests.mesh.launched import MICRO_LEARNS, launched
from tests.mesh.whole import SMALL, of, until_over, whole_mesh
from tests.standins.ai2thor.command import standin

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_players_left")]

SECONDS = 120


async def test_a_round_of_selu_learns_from_ai2thor(short_path: Path) -> None:
    world = World(name="ai2thor", options={"executable": standin(), "scenes": "1-4, 201-203"})
    settings = msgspec.structs.replace(
        SMALL, run=Run(rounds=1), world=world, simulator=Simulator(quota=24, episodes=4),
        trainer=Trainer(min_rows=2, collapse=1.0), evaluator=Evaluator(tasks=3, judgements=3, episodes=1),
    )  # fmt: skip
    with anyio.fail_after(SECONDS):
        async with whole_mesh(short_path, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
            async with (
                whole.connect("evaluator", "auditor-0") as auditor,
                auditor.subscribe("outcomes", start="start") as stream,
            ):
                truths = [d.message async for d in stream.past() if isinstance(d.message, Outcome)]
    trajectories = of(log, Trajectory)
    assert of(log, Fault) == []
    assert sorted(t.id for t in trajectories) == [f"r1-{i:05d}" for i in range(24)]
    assert {t.world for t in trajectories} == {"ai2thor"}
    assert {t.ended for t in trajectories} <= {"done", "limit"}
    assert {v.trajectory for v in of(log, Verdict)} == {t.id for t in trajectories}
    assert of(log, Relabel)
    assert sorted(a.role for a in of(log, Adapter)) == ["actor", "critic"]
    assert {(e.role, e.version) for e in of(log, Evaluation)} == {
        ("actor", 0), ("actor", 1), ("critic", 0), ("critic", 1),
    }  # fmt: skip
    assert of(log, Round)[-1].phase == "finished"
    assert any(truth.success for truth in truths)


async def test_the_shipped_profile_teaches_the_micro_model_without_vllm(tmp_path: Path) -> None:
    overrides = (
        f"world.options.executable={json.dumps(standin())}",
        "world.options.scenes='1-4'",
        "world.options.server='wsgi'",
        "world.options.width=128",
        "world.options.height=128",
        *MICRO_LEARNS,
    )
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *overrides, profile="ai2thor") as run:
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            messages = read(run.run)
    trajectories = [t for t in messages["trajectories"].values() if isinstance(t, Trajectory)]
    assert len(trajectories) == 12
    assert {t.ended for t in trajectories} <= {"done", "limit"}
    adapters = {a.role: a for a in messages["adapters"].values() if isinstance(a, Adapter)}
    assert adapters["critic"].promoted, adapters["critic"].reason
    assert adapters["actor"].promoted or adapters["actor"].reason
    assert {"actor@0", "critic@0", "critic@1"} <= set(messages["evaluations"])
    assert run.run.report_file.exists()
