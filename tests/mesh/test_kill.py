"""Whichever process is killed, wherever it stands, the run completes and learns from exactly the same."""

import os
import signal
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from protocols.messages import Swap, Trajectory
from runtime import witness
from runtime.signals import send
from scripts.soaking.checker import Findings, Learned, examine, read
from scripts.soaking.launched import Launched
from tests.mesh.launched import launched, producers, seen

pytestmark = pytest.mark.anyio
SECONDS = 180

POINTS = {
    "before": (
        "simulator/publish.outcomes.before", "simulator/publish.trajectories.before", "actor/answer.act.before",
        "actor/swap.before", "actor/publish.swaps.before", "critic/answer.ask.before",
        "critic/publish.verdicts.before", "critic/acknowledge.trajectories.before", "relabeler/publish.relabels.before",
        "relabeler/acknowledge.verdicts.before", "trainer/publish.rounds.before", "trainer/train.before",
        "trainer/publish.adapters.before", "evaluator/judgement.before", "evaluator/publish.evaluations.before",
        "hub/commit.before:9",
    ),
    "halfway": (
        "simulator/blob.half", "simulator/blob.after:4", "actor/answer.act.after", "actor/adapter.half",
        "actor/adapter.after", "actor/swap.loaded", "critic/answer.ask.after", "critic/adapter.half",
        "critic/adapter.after", "critic/swap.loaded", "trainer/blob.half", "trainer/train.after", "evaluator/blob.half",
        "hub/commit.half:20", "hub/lease.after:7",
    ),
    "after": (
        "simulator/publish.outcomes.after", "simulator/publish.trajectories.after", "actor/publish.swaps.after",
        "critic/publish.verdicts.after", "critic/acknowledge.trajectories.after", "critic/publish.swaps.after",
        "relabeler/publish.relabels.after", "relabeler/acknowledge.verdicts.after", "trainer/publish.rounds.after",
        "trainer/publish.adapters.after", "evaluator/judgement.after", "evaluator/publish.evaluations.after",
        "hub/commit.after:30", "hub/commit.told:40",
    ),
}  # fmt: skip
"""Where each process dies once in a run, as against its commits."""


def check(run: Launched, told: Path | None = None) -> Findings:
    """Nothing lost, doubled or missing; the run is over, served what it trained, and has its report."""
    found = examine(run.run, witness.read(told) if told else ())
    assert found.sound, found
    assert all(swap.served for swap in read(run.run)["swaps"].values() if isinstance(swap, Swap))
    assert run.run.summary_file.exists() and run.run.report_file.exists()
    return found


def played(run: Launched) -> dict[str, Trajectory]:
    """The trajectories without what differs from run to run: how long they took."""
    found = [t for t in read(run.run)["trajectories"].values() if isinstance(t, Trajectory)]
    return {t.id: msgspec.structs.replace(t, seconds=0.0) for t in found}


class Undisturbed(msgspec.Struct):
    """What a run learned and played that nobody disturbed, for all the others to be compared with."""

    learned: Learned
    played: dict[str, Trajectory]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    async def go() -> Undisturbed:
        with anyio.fail_after(SECONDS):
            async with launched(tmp_path_factory.mktemp("undisturbed") / "run") as run:
                assert await run.process.wait() == 0
                return Undisturbed(check(run).learned, played(run))

    found = anyio.run(go)
    assert len(found.learned) == 4
    return found


@pytest.mark.parametrize("when", POINTS)
async def test_a_run_outlives_the_death_of_every_process_around_its_commits(
    when: str, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    environ = {"SELU_CRASH": ",".join(POINTS[when]), "SELU_CRASH_ONCE": str(deaths), "SELU_WITNESS": str(deaths)}
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", "mesh.restarts=20", environ=environ) as run:
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            found = check(run, deaths)
    assert found.learned == undisturbed.learned
    assert found.acknowledged > 100
    died = {file.name for file in deaths.iterdir() if file.suffix != ".acknowledged"}
    assert died == {point.replace("/", "-") for point in POINTS[when]}


async def test_every_process_may_die_at_once(tmp_path: Path, undisturbed: Undisturbed) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "verdicts", 4)
            for process in run.processes.values():
                os.kill(process.pid, signal.SIGKILL)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            assert check(run).learned == undisturbed.learned


@pytest.mark.parametrize("killed", ["", "simulator-2"])
async def test_four_simulators_play_and_teach_what_one_does(
    killed: str, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", "simulator.instances=4", "simulator.episodes=6") as run:
            if killed:
                await seen(run, "trajectories", 1, by=killed)
                assert run.kill(killed)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            assert (check(run).learned, played(run)) == (undisturbed.learned, undisturbed.played)
    assert producers(run, "trajectories") == {t.id: f"simulator-{t.index % 4}" for t in undisturbed.played.values()}
    assert (f"{killed} was killed by SIGKILL" in (tmp_path / "launcher.txt").read_text()) == bool(killed)


async def test_an_interrupted_run_is_resumed_where_it_stopped(tmp_path: Path, undisturbed: Undisturbed) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "adapters", 1)
            send(run.process, signal.SIGINT)
            assert await run.process.wait() not in (0, None)
        await resume(run)
        assert check(run).learned == undisturbed.learned


async def test_a_storm_of_sigterm_ends_a_run_that_can_be_resumed(tmp_path: Path, undisturbed: Undisturbed) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "verdicts", 4)
            found = run.processes
            for _ in range(20):
                for pid in (run.process.pid, *(process.pid for process in found.values())):
                    try:
                        os.kill(pid, signal.SIGTERM)
                    except ProcessLookupError:
                        continue
                await anyio.lowlevel.checkpoint()
            assert await run.process.wait() not in (0, None)
            assert not [name for name, process in found.items() if process.is_running()]
        await resume(run)
        assert check(run).learned == undisturbed.learned


async def test_a_second_launcher_is_refused_and_the_first_goes_on(tmp_path: Path, undisturbed: Undisturbed) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "trajectories", 1)
            send(run.process, signal.SIGSTOP)  # or it might be done before the second gives up
            refused = await anyio.run_process(
                [sys.executable, "-m", "scripts.selu", "up", "--resume", str(tmp_path / "run")], check=False
            )
            send(run.process, signal.SIGCONT)
            assert refused.returncode == 2
            assert f"is in use by another launcher (process {run.process.pid})" in refused.stderr.decode()
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
            assert check(run).learned == undisturbed.learned


async def resume(run: Launched) -> None:
    argv = [sys.executable, "-m", "scripts.selu", "up", "--resume", str(run.run.path)]
    ended = await anyio.run_process(argv, check=False)
    assert ended.returncode == 0, ended.stdout.decode() + ended.stderr.decode()
