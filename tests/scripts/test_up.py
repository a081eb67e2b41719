"""`selu up` as a person starts it, with real processes: what it leaves, and that it leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.metrics import read_metrics
from runtime.runfolder import RunFolder
from runtime.signals import send
from scripts.commands.attach import ROLE
from scripts.selu import main
from services.report.summary import Summary
from tests.mesh.launched import held, launched, observer, seen

pytestmark = pytest.mark.anyio

SECONDS = 60
AFTER_KILL_SECONDS = 5.0


async def gone(pid: int) -> None:
    """Returns once the process has ended, whoever its parent is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def test_a_scripted_run_shows_itself_while_it_goes_and_leaves_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with anyio.fail_after(SECONDS):
        async with launched(folder) as run:
            async with observer(run):  # there is a hub to attach to
                argv = [sys.executable, "-m", "scripts.selu", "attach", "health", "--run", str(folder)]
                listening = await anyio.open_process([*argv, "--json", "--count", "1"])
            async with held(run), listening:
                assert listening.stdout is not None
                assert json.loads(await listening.stdout.receive())["message"]["type"] == "health"
                assert await listening.wait() == 0
            await seen(run, "trajectories", 3)
            found = run.processes
            assert found.keys() >= {"hub", "simulator-0", "actor-0", "critic-0", "relabeler-0", "trainer-0"}
            assert not [m.path for p in found.values() for m in p.memory_maps() if "torch" in m.path]
            names = {instance: process.name() for instance, process in found.items()}
            assert names["critic-0"] == "selu-critic-0"
            assert await run.process.wait() == 0
        for process in found.values():
            await gone(process.pid)

    said = (tmp_path / "launcher.txt").read_text()
    for part in ("all processes are ready", "round 2/2: finished", "gain", "0 lost", str(folder / "report.html")):
        assert part in said

    summary = msgspec.json.decode((folder / "summary.json").read_bytes(), type=Summary)
    assert summary.finished and summary.engine is not None and summary.engine.name == "scripted"
    assert [figures.round for figures in summary.rounds] == [0, 1, 2]
    assert all(f.critic_accuracy is not None and f.actor_success is not None for f in summary.rounds)
    assert (summary.trajectories.collected, summary.trajectories.lost) == (24, 0)
    assert (summary.answers.wrong_version, summary.answers.failed) == (0, 0) and summary.answers.total > 100
    assert all(adapter.swap_seconds is not None for adapter in summary.adapters if adapter.promoted)
    assert summary.seconds["total"] > summary.seconds["collect"] > 0 and summary.memory_peak_bytes > 0
    assert [(f.round, f.yes and f.yes.n, f.done and f.done.n) for f in summary.feedback] == [(1, 12, 12), (2, 12, 12)]
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row.get("service") == "trainer-0"]
    assert {"feedback_yes", "feedback_turned", "feedback_action_entropy_bits"} <= rows[-1].keys()

    assert main(["report", str(folder)]) == 0
    assert msgspec.json.decode((folder / "summary.json").read_bytes(), type=Summary) == summary
    capsys.readouterr()
    assert main(["attach", "verdicts", "--run", str(folder), "--from", "start", "--json", "--count", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["topic"] for row in rows] == ["verdicts"] * 2 and rows[0]["offset"] < rows[1]["offset"]
    again = f"--from={rows[1]['offset']}"
    assert main(["attach", "verdicts", "--run", str(folder), again, "--count", "1"]) == 0
    assert rows[1]["message"]["trajectory"] in capsys.readouterr().out


async def test_attaching_ends_with_the_run(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            async with observer(run) as mesh, held(run):
                argv = [sys.executable, "-m", "scripts.selu", "attach", "faults", "--run", str(tmp_path / "run")]
                listening = await anyio.open_process(argv)
                while True:
                    if f"{ROLE}-{listening.pid}" in (await mesh.status()).sessions:
                        break
                    await anyio.sleep(0.02)
            async with listening:
                assert listening.stderr is not None
                assert await run.process.wait() == 0
                assert b"the run has ended" in await listening.stderr.receive()
                assert await listening.wait() == 0


async def test_when_the_launcher_is_killed_nothing_is_left_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "verdicts", 3)
            found = run.processes
            send(run.process, signal.SIGKILL)
            await run.process.wait()
            with anyio.fail_after(AFTER_KILL_SECONDS):
                for process in found.values():
                    await gone(process.pid)
        attach = ["attach", "verdicts", "--run", str(tmp_path / "run"), "--from", "start", "--count", "1"]
        assert main(attach) == 0, "what is logged can be read after a crash"
        resumed = await anyio.run_process(
            [sys.executable, "-m", "scripts.selu", "up", "--resume", str(tmp_path / "run")],
            check=False,
            stderr=subprocess.STDOUT,
        )
        assert resumed.returncode == 0, resumed.stdout.decode()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["finished"] and summary["trajectories"]["lost"] == 0


async def test_the_smallest_run_ends_with_its_report(tmp_path: Path) -> None:
    ones = ("simulator.quota=1", "simulator.episodes=1", "evaluator.tasks=1", "evaluator.judgements=1", "run.rounds=1")
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *ones) as run:
            assert await run.process.wait() == 0
    assert json.loads(run.run.summary_file.read_text())["finished"] and run.run.report_file.exists()
    assert "Traceback" not in (tmp_path / "launcher.txt").read_text()


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_stopped_run_ends_cleanly_and_says_how_to_go_on(tmp_path: Path, how: signal.Signals, code: int) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "trajectories", 2)
            found = run.processes
            send(run.process, how)
            with anyio.fail_after(10):
                assert await run.process.wait() == code
            for process in found.values():
                await gone(process.pid)
    said = (tmp_path / "launcher.txt").read_text()
    assert f"selu up --resume {tmp_path / 'run'}" in said and "Traceback" not in said
    assert not RunFolder(tmp_path / "run").endpoints_file.exists()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["finished"] is False


async def test_a_process_that_only_a_person_can_mend_ends_the_run_and_is_quoted(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run") as run:
            await seen(run, "trajectories", 2)
            run.run.settings_file.write_text("[world.options]\nno_such_option = 1\n")
            run.kill("simulator-0")
            assert await run.process.wait() == 1
    said = (tmp_path / "launcher.txt").read_text()
    assert "simulator-0 ended with code 78" in said and "no_such_option" in said and "--resume" in said
