"""The mesh around players that crash and hang: episodes are cut short, and a run that cannot go on says why."""

from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Fault, Round, Trajectory
from runtime.mesh import Mesh
from runtime.service import leaves
from runtime.settings import SettingsError
from runtime.streams import Delivery
from services.settings import Evaluator, Run, Simulator, Trainer, World
from tests.mesh.whole import SMALL, of, whole_mesh
from tests.standins.ai2thor.command import standin

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_players_left")]

SECONDS = 40


def settings(executable: str, **simulator: int) -> msgspec.Struct:
    options = {
        "executable": executable, "scenes": "1-3", "width": 96, "height": 96, "start_seconds": 20.0,
        "reset_seconds": 10.0, "step_seconds": 1.5,
    }  # fmt: skip
    return msgspec.structs.replace(
        SMALL, run=Run(rounds=1), world=World(name="ai2thor", options=options), simulator=Simulator(**simulator),
        trainer=Trainer(min_rows=2, collapse=1.0), evaluator=Evaluator(enabled=False, tasks=1, judgements=1),
    )  # fmt: skip


async def until_finished(mesh: Mesh) -> list[Delivery]:
    """Everything in the log, once the last round is finished."""
    seen: list[Delivery] = []
    async with mesh.subscribe("trajectories", "adapters", "rounds", "faults", start="start") as stream:
        async for delivery in stream:
            seen.append(delivery)
            if isinstance(delivery.message, Round) and delivery.message.phase == "finished":
                return seen
    raise AssertionError("a subscription has no end")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("exit@PickupObject#2", "world: the player ended while PickupObject (exit code 3)"),
        ("hang@PickupObject#2", "world: ai2thor did not step within 1.5 s and was killed"),
    ],
)
async def test_episodes_of_failing_players_are_cut_short_and_the_round_goes_on(
    short_path: Path, fault: str, cause: str
) -> None:
    once = short_path / "struck"
    roles = ("simulator", "actor", "critic", "relabeler", "trainer")
    with anyio.fail_after(SECONDS):
        wanted = settings(standin(fault=fault, once=once), quota=12, episodes=2)
        async with whole_mesh(short_path, wanted, roles) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_finished(mesh)
    cut = [t for t in of(log, Trajectory) if t.ended == "truncated"]
    assert len(cut) == 1
    assert str(cut[0].cause).startswith(cause)
    assert cut[0].task.instruction
    assert len(of(log, Trajectory)) == 12
    assert [fault.why for fault in of(log, Fault) if fault.service == "simulator-0"] == [cut[0].cause]
    assert sorted(a.role for a in of(log, Adapter)) == ["actor", "critic"]
    assert of(log, Round)[-1].phase == "finished"


async def test_a_run_whose_players_never_start_ends_and_says_why(short_path: Path) -> None:
    wanted = settings(standin(fault="start@"), quota=40, episodes=2, restarts=2)
    with pytest.raises(BaseExceptionGroup) as raised, anyio.fail_after(SECONDS):
        async with whole_mesh(short_path, wanted, ("simulator", "actor", "critic", "relabeler", "trainer")):
            await anyio.sleep_forever()
    (why,) = [str(leaf) for leaf in leaves(raised.value) if isinstance(leaf, SettingsError)]
    assert why.startswith("every world failed more than 2 times without one whole episode, last by world: the player ")
    assert "ended while starting (exit code 9)" in why
