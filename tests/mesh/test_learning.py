"""Two rounds of learning on a real mesh with scripted models: what must hold of every run."""

from collections import Counter
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.errors import Forbidden
from protocols.messages import Adapter, Dropped, Evaluation, Fault, Relabel, Round, Swap, Trajectory, Verdict
from runtime.streams import Delivery
from services.settings import Run, Settings, Simulator, Trainer
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 60


async def played(folder: Path, settings: Settings = SMALL) -> list[Delivery]:
    with anyio.fail_after(SECONDS):
        async with whole_mesh(folder, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            return await until_over(mesh)


async def test_two_rounds_are_collected_judged_relabelled_trained_and_measured(short_path: Path) -> None:
    log = await played(short_path)
    assert of(log, Fault) == []
    trajectories = of(log, Trajectory)
    assert sorted(t.id for t in trajectories) == sorted(f"r{r}-{i:05d}" for r in (1, 2) for i in range(30))
    assert {t.actor_version for t in trajectories if t.round == 1} == {0}
    first = [v for v in of(log, Verdict) if v.critic_version < v.round]
    assert Counter(v.trajectory for v in first) == Counter(t.id for t in trajectories)
    assert {r.trajectory for r in of(log, Relabel)} == {v.trajectory for v in first if not v.success}
    adapters = of(log, Adapter)
    assert [(a.role, a.version) for a in adapters] == [("critic", 1), ("actor", 1), ("critic", 2), ("actor", 2)]
    again = [v for v in of(log, Verdict) if v.critic_version == v.round and v.subject == "task"]
    judged_again = {a.round for a in adapters if a.role == "critic" and a.promoted}
    assert Counter(v.trajectory for v in again) == Counter(t.id for t in trajectories if t.round in judged_again)
    served = {(s.role, s.version) for s in of(log, Swap) if s.served}
    assert served == {(a.role, a.version) for a in adapters if a.promoted}
    measured = {(e.role, e.version) for e in of(log, Evaluation)}
    assert measured == {("actor", 0), ("critic", 0)} | served
    assert of(log, Dropped) == []
    assert of(log, Round)[-1].phase == "finished"


async def test_the_same_seed_gives_the_same_datasets(short_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (short_path / name).mkdir()
        log = await played(short_path / name)
        runs.append({(a.role, a.version): (a.dataset, a.digest) for a in of(log, Adapter)})
    assert runs[0] == runs[1]
    assert len(runs[0]) == 4


async def test_with_staleness_rounds_overlap_and_nothing_is_learned_from_beyond_the_bound(short_path: Path) -> None:
    simulator = Simulator(quota=12, episodes=8, max_staleness=1)
    ahead = msgspec.structs.replace(SMALL, run=Run(rounds=3), simulator=simulator, trainer=Trainer(min_rows=2))
    log = await played(short_path, ahead)
    trajectories = of(log, Trajectory)
    assert len(trajectories) == len({t.id for t in trajectories}) == 36
    begun = {r.number: r.actor_version for r in of(log, Round) if r.phase == "collect"}
    versions = sorted(set(begun.values()))
    behind = [versions.index(begun[t.round]) - versions.index(t.actor_version) for t in trajectories]
    assert max(behind) == 1
    assert of(log, Dropped) == []
    first = [v for v in of(log, Verdict) if v.critic_version < v.round]
    assert Counter(v.trajectory for v in first) == Counter(t.id for t in trajectories)


async def test_refused_adapters_leave_the_base_model_serving_and_say_why(short_path: Path) -> None:
    log = await played(short_path, msgspec.structs.replace(SMALL, trainer=Trainer(min_rows=10_000)))
    adapters = of(log, Adapter)
    assert [(a.role, a.version, a.promoted) for a in adapters] == [
        ("critic", 1, False), ("actor", 1, False), ("critic", 2, False), ("actor", 2, False),
    ]  # fmt: skip
    assert all("min_rows" in a.reason for a in adapters)
    assert len(of(log, Fault)) == 4
    assert of(log, Swap) == []
    assert {t.actor_version for t in of(log, Trajectory)} == {0}
    assert {(e.role, e.version) for e in of(log, Evaluation)} == {("actor", 0), ("critic", 0)}


@pytest.mark.parametrize("role", ["trainer", "critic", "actor", "relabeler", "simulator", "onlooker"])
async def test_nobody_who_learns_can_read_the_truth(short_path: Path, role: str) -> None:
    with anyio.fail_after(10):
        async with whole_mesh(short_path, SMALL, roles=()) as whole, whole.connect(role, f"{role}-0") as mesh:
            with pytest.raises(Forbidden):
                async with mesh.subscribe("outcomes", start="start") as stream:
                    async for _ in stream:
                        pass
            with pytest.raises(Forbidden):
                async with mesh.consume("outcomes", group=role) as stream:
                    async for _ in stream:
                        pass
