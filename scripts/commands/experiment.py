"""Runs an experiment: methods, seeds and base models, each as a run of its own, and one table of what came of them.

The file says what is compared (scripts/experiments has some that are ready). Everything goes into one folder: the runs
under trials/, and results.md, results.json and results.png, written anew whenever a run is over. Started again it goes
on where it was, whatever stopped it; a run whose settings have changed since is refused.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.trials.plan import Experiment, Trial
    from scripts.trials.results import Results, Setting
    from scripts.trials.runner import Runner

HELP = "compare methods over seeds and base models, and write one table"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.toml", help="the experiment, or the name of one in scripts/experiments")
    parser.add_argument("--out", type=Path, metavar="DIR", help="its folder (default: runs/experiments/<name>)")
    parser.add_argument("--parallel", type=int, metavar="N", help="runs at once (default: as the file says)")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no run that would last longer than this")
    parser.add_argument(
        "--heldout",
        action="store_true",
        help="needed where the split is heldout: those tasks are for reporting, once, what was chosen on others",
    )
    parser.add_argument("--report", action="store_true", help="run nothing, only write the results of what is there")
    parser.add_argument("--dry-run", action="store_true", help="say which runs there would be, start nothing")


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolderError
    from runtime.settings import SettingsError
    from scripts.trials import plan
    from scripts.trials.machine import at_once
    from scripts.trials.runner import Runner

    try:
        file = _file(given.file)
        experiment = plan.read(file)
        folder = given.out or Path("runs/experiments") / file.stem
        if experiment.split == "heldout" and not given.heldout:
            return _refuse(
                f"{file} measures on the held-out tasks, which are to be used once, to report what was chosen on the "
                "dev split: say --heldout if that is so, or set split to dev"
            )
        todo = plan.trials(experiment, folder, file=file)
        parallel = given.parallel or experiment.parallel or min(at_once(trial.settings) for trial in todo)
        if given.dry_run:
            sys.stdout.write("".join(f"{trial.name}\n" for trial in todo))
            sys.stdout.write(f"{len(todo)} runs into {folder}, {parallel} at once\n")
            return 0
        setting = _setting(experiment, todo, file, folder)
        runner: Runner | None = None

        def say(text: str) -> None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

        def write() -> None:
            assert runner is not None
            _write(folder, _results(experiment, setting, runner))

        runner = Runner(
            todo, bases=setting.bases, parallel=parallel, minutes=given.minutes, say=say, written=write
        )  # fmt: skip
        runner.look()
        if not given.report:
            done = len(runner.outcomes)
            say(f"{len(todo)} runs, {done} of them finished before; {parallel} at once, into {folder}")
            anyio.run(runner.run)
        write()
    except (SettingsError, RunFolderError, LogFormatError) as error:
        return _refuse(str(error))
    say(f"{len(runner.outcomes)} of {len(todo)} runs are in {folder / 'results.md'}")
    return 0 if given.report or len(runner.outcomes) == len(todo) else 1


def _file(name: str) -> Path:
    ready = Path(__file__).parents[1] / "experiments" / f"{name}.toml"
    return ready if ready.is_file() else Path(name)


def _setting(experiment: "Experiment", todo: "list[Trial]", file: Path, folder: Path) -> "Setting":
    """How the experiment is made. The base models are those of its beginning.

    Raises:
        SettingsError: there is no such base model, or it has changed since.
    """
    import importlib.metadata

    import msgspec

    from runtime.settings import SettingsError
    from scripts.trials import machine, plan
    from scripts.trials.results import Setting

    bases = {trial.base: trial for trial in todo}
    models = {label: plan.base_model(trial.settings) for label, trial in bases.items()}
    known = folder / "bases.json"
    before = msgspec.json.decode(known.read_bytes(), type=dict[str, str]) if known.exists() else {}
    for label, model in models.items():
        if before.get(label, model) != model:
            raise SettingsError(
                f"the base model {label} was {before[label]} when {folder} was begun, and is {model} now: give --out "
                "another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    _replace(known, msgspec.json.encode({**before, **models}))
    world, measured = todo[0].settings.world.seeds, todo[0].settings.evaluator
    return Setting(
        name=file.stem,
        about=experiment.about,
        split=experiment.split,
        heldout_seeds={
            "tasks": (getattr(world, experiment.split), measured.tasks),
            "judgements": (getattr(world, f"{experiment.split}_judge"), measured.judgements),
        },
        final_round=max(trial.settings.run.rounds for trial in todo),
        quota=experiment.quota,
        seeds=experiment.seeds,
        bases=models,
        settings_digest=plan.settings_digest([trial.settings for trial in todo]),
        hardware=machine.describe(),
        software=f"selu {importlib.metadata.version('selu')}",
        command=f"selu experiment {file}" + (" --heldout" if experiment.split == "heldout" else ""),
    )


def _results(experiment: "Experiment", setting: "Setting", runner: "Runner") -> "Results":
    from scripts.trials.plan import about
    from scripts.trials.results import results

    rows = dict.fromkeys(trial.row for trial in sorted(runner.trials, key=lambda trial: trial.teaches))
    return results(
        setting,
        {row: about(experiment, row) for row in rows},
        {row: [runner.outcomes[at] for at in sorted(runner.outcomes) if runner.trials[at].row == row] for row in rows},
        [trial.name for at, trial in enumerate(runner.trials) if at not in runner.outcomes],
    )


def _write(folder: Path, found: "Results") -> None:
    from scripts.trials.chart import draw
    from scripts.trials.results import to_json
    from scripts.trials.table import page

    _replace(folder / "results.json", to_json(found))
    _replace(folder / "results.md", page(found).encode())
    _replace(folder / "results.png", draw(found))


def _replace(file: Path, data: bytes) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_bytes(data)
    scratch.replace(file)


def _refuse(reason: str) -> int:
    sys.stderr.write(f"selu: {reason}\n")
    return 2
