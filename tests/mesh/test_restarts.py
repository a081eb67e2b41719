"""Services that are ended again and again, wherever they stand, leave no trace in what is learned."""

from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Fault, Trajectory
from runtime.mesh import Mesh
from services.settings import Evaluator, Simulator, Trainer
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 90
TINY = msgspec.structs.replace(
    SMALL,
    simulator=Simulator(quota=20, episodes=4),
    trainer=Trainer(min_rows=2),
    evaluator=Evaluator(tasks=4, judgements=4, episodes=2),
)


async def grown(mesh: Mesh, offset: int) -> None:
    """Returns when the log has grown to that offset."""
    topics = ("trajectories", "verdicts", "relabels", "adapters", "swaps", "rounds", "evaluations")
    async with mesh.subscribe(*topics, start=offset) as stream:
        async for _ in stream:
            return


async def test_services_ended_and_started_again_learn_from_the_same(short_path: Path) -> None:
    learned: list[dict[tuple[str, int], str]] = []
    for disturbances in (0, 9):
        folder = short_path / str(disturbances)
        folder.mkdir()
        with anyio.fail_after(SECONDS):
            async with whole_mesh(folder, TINY) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
                for turn in range(disturbances):
                    await grown(mesh, 3 + 9 * turn)
                    role = ("simulator", "critic", "trainer", "relabeler", "actor")[turn % 5]
                    await whole.kill(f"{role}-0")
                    whole.start(role)
                log = await until_over(mesh)
        learned.append({(a.role, a.version): a.dataset for a in of(log, Adapter)})
        assert len({t.id for t in of(log, Trajectory)}) == len(of(log, Trajectory)) == 40
        assert {fault.service for fault in of(log, Fault)} <= {"trainer-0"}  # which may refuse so few rows
    assert learned[0] == learned[1]
    assert len(learned[0]) == 4
