"""Whichever process is killed in the middle of a run, the run completes and learns from exactly the same."""

import signal
import sys
from collections import Counter
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Evaluation, Message, Round, Trajectory, Verdict
from tests.mesh.launched import Launched, launched, seen

pytestmark = pytest.mark.anyio
SECONDS = 60

Learned = dict[str, tuple[str, str, bool]]


def learned(messages: dict[str, dict[str, Message]]) -> Learned:
    """What the run learned from and what came of it: dataset and adapter digests by version."""
    adapters = [a for a in messages["adapters"].values() if isinstance(a, Adapter)]
    return {f"{a.role}@{a.version}": (a.dataset, a.digest, a.promoted) for a in adapters}


def played(messages: dict[str, dict[str, Message]]) -> dict[str, Trajectory]:
    """The trajectories without what differs from run to run: how long they took."""
    found = [t for t in messages["trajectories"].values() if isinstance(t, Trajectory)]
    return {t.id: msgspec.structs.replace(t, seconds=0.0) for t in found}


def check_complete(run: Launched) -> dict[str, dict[str, Message]]:
    """Every trajectory is there and judged once by each critic that had to, and every evaluation was made."""
    messages = run.messages()
    trajectories = [t for t in messages["trajectories"].values() if isinstance(t, Trajectory)]
    assert Counter(t.round for t in trajectories) == {1: 12, 2: 12}
    assert messages["outcomes"].keys() == messages["trajectories"].keys()
    verdicts = [v for v in messages["verdicts"].values() if isinstance(v, Verdict) and v.subject == "task"]
    first = Counter(v.trajectory for v in verdicts if v.critic_version < v.round)
    assert first == Counter(t.id for t in trajectories)
    rounds = [r for r in messages["rounds"].values() if isinstance(r, Round)]
    assert rounds[-1].phase == "finished"
    evaluated = [e for e in messages["evaluations"].values() if isinstance(e, Evaluation)]
    promoted = {name for name, (_, _, kept) in learned(messages).items() if kept}
    assert {f"{e.role}@{e.version}" for e in evaluated} == promoted | {"actor@0", "critic@0"}
    assert run.run.summary_file.exists()
    assert run.run.report_file.exists()
    return messages


Undisturbed = tuple[Learned, dict[str, Trajectory]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What one run learned and played that nobody disturbs, for all the others to be compared with."""

    async def go() -> dict[str, dict[str, Message]]:
        with anyio.fail_after(SECONDS):
            async with launched(tmp_path_factory.mktemp("undisturbed") / "run") as run:
                assert await run.process.wait() == 0
                return check_complete(run)

    messages = anyio.run(go)
    return learned(messages), played(messages)


@pytest.mark.parametrize(
    ("instance", "topic", "count"),
    [
        ("simulator-0", "trajectories", 5),
        ("actor-0", "trajectories", 6),
        ("critic-0", "verdicts", 4),
        ("relabeler-0", "relabels", 1),
        ("trainer-0", "adapters", 1),
        ("evaluator-0", "evaluations", 1),
        ("hub", "trajectories", 7),
    ],
)
async def test_a_run_outlives_the_death_of(
    instance: str, topic: str, count: int, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, topic, count)
            run.kill(instance)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            assert learned(check_complete(run)) == undisturbed[0]


@pytest.mark.parametrize("killed", ["", "simulator-2"])
async def test_four_simulators_play_and_teach_what_one_does(
    killed: str, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", "simulator.instances=4", "simulator.episodes=6") as run:
            if killed:
                await seen(run, "trajectories", 1, by=killed)
                run.kill(killed)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            messages = check_complete(run)
    assert (learned(messages), played(messages)) == undisturbed
    assert run.producers("trajectories") == {t.id: f"simulator-{t.index % 4}" for t in undisturbed[1].values()}
    assert (f"{killed} was killed by SIGKILL" in (tmp_path / "launcher.txt").read_text()) == bool(killed)


async def test_an_interrupted_run_is_resumed_where_it_stopped(tmp_path: Path, undisturbed: Undisturbed) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "adapters", 1)
            run.process.send_signal(signal.SIGINT)
            assert await run.process.wait() not in (0, None)
        resumed = await anyio.run_process(
            [sys.executable, "-m", "scripts.selu", "up", "--resume", str(tmp_path / "run")], check=False
        )
        assert resumed.returncode == 0, resumed.stdout.decode() + resumed.stderr.decode()
        assert learned(check_complete(run)) == undisturbed[0]
