"""An experiment as a person runs it: killed in the middle, gone on with, and never run twice."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from runtime.metrics import read_metrics
from runtime.settings import load
from scripts.selu import main
from scripts.trials import plan
from scripts.trials.runner import Runner
from services.evaluator.shared_set import SharedSet
from services.settings import Settings
from tests.trials.made import outcome

pytestmark = pytest.mark.anyio

SECONDS = 120
FILE = """
about = "Does it go on where it was?"
profile = "scripted"
methods = ["base", "selu"]
seeds = [0, 1]
rounds = 1
quota = 8
parallel = 2

[settings.simulator]
episodes = 4

[settings.trainer]
min_rows = 1

[settings.evaluator]
tasks = 4
judgements = 4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(FILE)
    return tmp_path / "tiny.toml"


def sessions(folder: Path) -> int:
    """How often a run was started."""
    return sum(row["kind"] == "session" and row["event"] == "start" for row in read_metrics(folder / "metrics.jsonl"))


async def test_an_experiment_killed_at_any_point_goes_on_and_repeats_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = file.parent / "out"
    argv = [sys.executable, "-m", "scripts.selu", "experiment", str(file), "--out", str(out)]
    with anyio.fail_after(SECONDS):
        async with await anyio.open_process(argv, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            said = ""
            while "(1/3)" not in said or said.count("begins") < 3:
                said += (await process.stdout.receive()).decode()
            begun = psutil.Process(process.pid).children(recursive=True)
            for child in begun:  # no run that has begun may end before the experiment is killed
                with suppress(psutil.Error):
                    child.suspend()
            assert main(["experiment", str(file), "--out", str(out)]) == 2
            assert "in use by another selu experiment" in capsys.readouterr().err
            process.kill()
            for child in begun:
                with suppress(psutil.Error):
                    child.resume()
        assert "micro base: actor" in said
        assert json.loads((out / "results.json").read_text())["missing"] == ["micro selu seed 0", "micro selu seed 1"]
        faster = [*argv, "--set", "simulator.episodes=3"]
        done = await anyio.run_process(faster, check=False, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode()
    text = done.stdout.decode()
    assert "3 runs, 1 of them finished before" in text and "base: begins" not in text
    trials = out / "trials" / "micro"
    assert sessions(trials / "base" / "once") == 1
    for seed in (0, 1):
        settings = load(Settings, file=trials / "selu" / f"seed-{seed}" / "settings.toml")
        assert settings.simulator.episodes == 3, "what was begun before goes on with what this machine asks for"
    found = json.loads((out / "results.json").read_text())
    assert found["missing"] == [] and found["methods"]["selu"]["runs"] == 2
    lines = {
        frozenset((folder / "evaluation" / "dev_judge.jsonl").read_bytes().splitlines())
        for folder in (trials / "base" / "once", trials / "selu" / "seed-0", trials / "selu" / "seed-1")
    }
    assert len(lines) == 1 and (out / "results.png").stat().st_size > 1000
    assert len((out / "results.csv").read_text().splitlines()) == 6, "columns, the base, and two runs of two rounds"
    before = (out / "results.json").read_bytes()
    assert main(["experiment", str(file), "--out", str(out), "--report"]) == 0
    assert (out / "results.json").read_bytes() == before
    capsys.readouterr()
    metrics = trials / "selu" / "seed-1" / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("scripted@1", "scripted@2"))
    assert main(["experiment", str(file), "--out", str(out), "--report"]) == 2
    assert "seed-1 was run with scripted@2, not scripted@1" in capsys.readouterr().err


async def test_no_run_is_begun_that_would_not_end_in_time(file: Path) -> None:
    trials = plan.trials(plan.read(file), file.parent / "out", file=file)
    said: list[str] = []
    bases = {"micro": "scripted@1"}
    runner = Runner(trials, bases=bases, parallel=2, minutes=1.0, say=said.append, over=lambda _: None)
    runner.outcomes = {0: outcome("micro", 0, (1,), (1,)), 1: outcome("micro", 90, (1, 1), (1, 1))}  # 120 s
    with anyio.fail_after(10):
        await runner.run()
    assert said == ["micro selu seed 1: not begun, as it takes about 2 min 0 s and that is not left"]


class Noted(Runner):
    """Notes what begins and ends instead of doing it."""

    def __init__(self, trials: list[plan.Trial], parallel: int) -> None:
        bases = {trial.base: "scripted@1" for trial in trials}
        super().__init__(trials, bases=bases, parallel=parallel, minutes=None, say=lambda _: None, over=lambda _: None)
        self.events: list[tuple[str, plan.Trial]] = []

    async def _launch(self, trial: plan.Trial) -> int:
        self.events.append(("begins", trial))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self.events.append(("ends", trial))
        return 1

    @property
    def begun(self) -> list[str]:
        return [trial.name for event, trial in self.events if event == "begins"]


def on_two_bases(file: Path, seeds: str) -> list[plan.Trial]:
    file.write_text(FILE.replace("seeds = [0, 1]", f'seeds = {seeds}\nbases = ["", "micro-seed1"]'))
    return plan.trials(plan.read(file), file.parent / "out", file=file)


async def test_runs_go_seed_by_seed_over_all_base_models(file: Path) -> None:
    runner = Noted(on_two_bases(file, "[7, 3]"), parallel=1)
    with anyio.fail_after(10):
        await runner.run()
    two = ["micro", "micro-seed1"]
    taught = [f"{base} selu seed {seed}" for seed in (7, 3) for base in two]
    assert runner.begun == [f"{base} base" for base in two] + taught


@pytest.mark.parametrize("parallel", [1, 2, 3, 9])
async def test_the_first_run_of_a_base_model_goes_alone_where_it_leaves_no_judgement_set(
    file: Path, parallel: int
) -> None:
    trials = on_two_bases(file, "[0, 1, 2]")
    runner = Noted(trials, parallel)
    with anyio.fail_after(10):
        await runner.run()
    assert sorted(runner.begun) == sorted(trial.name for trial in trials)
    for base in ("micro", "micro-seed1"):
        own = [(event, trial.name) for event, trial in runner.events if trial.base == base]
        assert own[:2] == [("begins", f"{base} base"), ("ends", f"{base} base")]
    running = 0
    for event, _ in runner.events:
        running += 1 if event == "begins" else -1
        assert 0 <= running <= parallel


class Leaving(Noted):
    """Whose first run leaves the judgement set, and does not end before all others have."""

    async def _launch(self, trial: plan.Trial) -> int:
        leads = not self.events
        code = await super()._launch(trial)
        if leads:
            shared = SharedSet(trial.settings)
            shared.file.parent.mkdir(parents=True)
            shared.write([], [])
            while len(self.events) < 2 * len(self.trials):
                await anyio.lowlevel.checkpoint()
        return code


async def test_the_others_follow_as_soon_as_the_first_has_left_the_judgement_set(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.trials.runner.LOOK_SECONDS", 0.01)
    runner = Leaving(plan.trials(plan.read(file), file.parent / "out", file=file), parallel=2)
    with anyio.fail_after(10):
        await runner.run()
    assert runner.begun == ["micro base", "micro selu seed 0", "micro selu seed 1"]
    assert [event for event, _ in runner.events[:3]] == ["begins", "ends", "begins"], "none before the set was there"


async def test_a_signal_stops_the_runs_and_the_command(file: Path) -> None:
    argv = [sys.executable, "-m", "scripts.selu", "experiment", str(file), "--out", str(file.parent / "out")]
    with anyio.fail_after(SECONDS):
        async with await anyio.open_process(argv, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            said = ""
            while "begins" not in said:
                said += (await process.stdout.receive()).decode()
            os.kill(process.pid, signal.SIGTERM)
            assert await process.wait() == 143


async def test_trials_on_several_gpus_see_one_each(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    started = anyio.open_process

    async def open_process(*args: object, env: dict[str, str], **kwargs: object) -> anyio.abc.Process:
        seen.append(env["CUDA_VISIBLE_DEVICES"])
        assert env["PATH"] == os.environ["PATH"]
        return await started(*args, env=env, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(anyio, "open_process", open_process)
    trials = plan.trials(plan.read(file), file.parent / "out", file=file)
    with anyio.fail_after(SECONDS):
        runner = Runner(
            trials, bases={"micro": "scripted@1"}, parallel=2, gpus=["4", "7"], minutes=None, say=lambda _: None,
            over=lambda _: None,
        )  # fmt: skip
        await runner.run()
    assert len(runner.outcomes) == 3
    assert seen[0] == "4" and sorted(seen[1:]) == ["4", "7"]
