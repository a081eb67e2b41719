"""The simulator around worlds that hang or die: the episode is cut short, its cause recorded, the round completed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Dropped, Fault, Outcome, Round, Task, Trajectory, Verdict
from services.settings import Evaluator, Run, Simulator, Trainer
from services.worlds.household.world import Household
from services.worlds.world import Observation, WorldError
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 60
SETTINGS = msgspec.structs.replace(
    SMALL,
    run=Run(rounds=1),
    simulator=Simulator(quota=12, episodes=4, step_seconds=3.0),
    trainer=Trainer(min_rows=2),
    evaluator=Evaluator(tasks=2, judgements=2, episodes=2),
)
GIVEN_UP = threading.Event()


class Failing(Household):
    """A household of which some training episodes die and others hang until the test is over."""

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        self.fate = seed % 6 if seed >= 1_000_000_000 else 5
        if self.fate == 2:
            raise ConnectionError("the player is gone")
        return super().reset(task, seed)

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        if self.fate == 0:
            raise WorldError("the player crashed")
        if self.fate == 1:
            GIVEN_UP.wait(30)
        return super().step(action)


@pytest.fixture
def _failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("services.worlds.household.world.Household", Failing)
    GIVEN_UP.clear()
    yield
    GIVEN_UP.set()


@pytest.mark.usefixtures("_failing")
async def test_episodes_of_failing_worlds_are_cut_short_and_the_run_goes_on(short_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with whole_mesh(short_path, SETTINGS) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
            async with whole.connect("evaluator", "auditor-0") as auditor:
                truths = []
                async with auditor.subscribe("outcomes", start="start") as stream:
                    truths = [d.message async for d in stream.past()]
            GIVEN_UP.set()
    trajectories = of(log, Trajectory)
    assert len(trajectories) == 12
    causes = {t.id: t.cause for t in trajectories if t.ended == "truncated"}
    assert sorted(causes) == [f"r1-{i:05d}" for i in range(12) if (1_000_010_000 + i) % 6 in (0, 1, 2)]
    assert {cause.split(": ", 1)[1] for cause in causes.values() if cause} == {
        "the player crashed", "the world gave no answer within 3 s", "ConnectionError: the player is gone",
    }  # fmt: skip
    assert {d.trajectory for d in of(log, Dropped)} == set(causes)
    assert {f.what.split()[1] for f in of(log, Fault) if f.service == "simulator-0"} == set(causes)
    whole_ones = {t.id for t in trajectories} - set(causes)
    assert {v.trajectory for v in of(log, Verdict)} == whole_ones
    assert {t.trajectory for t in truths if isinstance(t, Outcome)} == whole_ones
    assert [a.version for a in of(log, Adapter)] == [1, 1]
    assert of(log, Round)[-1].phase == "finished"
