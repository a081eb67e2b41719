"""Whichever process is killed in the middle of a run, the run completes and learns from exactly the same."""

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
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


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Learned]:
    return {}


@pytest.fixture(scope="module", autouse=True)
def _reference(tmp_path_factory: pytest.TempPathFactory, undisturbed: dict[str, Learned]) -> Iterator[None]:
    """One run that nobody disturbs, for all the others to be compared with."""

    async def go() -> None:
        with anyio.fail_after(SECONDS):
            async with launched(tmp_path_factory.mktemp("undisturbed") / "run") as run:
                assert await run.process.wait() == 0
                undisturbed["learned"] = learned(check_complete(run))

    anyio.run(go)
    yield


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
    instance: str, topic: str, count: int, tmp_path: Path, undisturbed: dict[str, Learned]
) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, topic, count)
            run.kill(instance)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            assert learned(check_complete(run)) == undisturbed["learned"]


async def test_an_interrupted_run_is_resumed_where_it_stopped(tmp_path: Path, undisturbed: dict[str, Learned]) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "adapters", 1)
            run.process.send_signal(signal.SIGINT)
            assert await run.process.wait() not in (0, None)
        resumed = await anyio.run_process(
            [sys.executable, "-m", "scripts.selu", "up", "--resume", str(tmp_path / "run")], check=False
        )
        assert resumed.returncode == 0, resumed.stdout.decode() + resumed.stderr.decode()
        assert learned(check_complete(run)) == undisturbed["learned"]
