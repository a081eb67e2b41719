"""Runs an experiment: methods, seeds and base models, each as a separate run, and one table of the results.

The file defines the comparison (scripts/experiments has some that are ready). Everything goes into one folder: the
runs under trials/, and results.md, .json, .png and .csv, rewritten when a run ends. The same command continues an
interrupted experiment; a run whose settings have changed since is refused.
"""

import argparse
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from scripts.arguments import path_type
from scripts.numbers import positive_number, whole_number
from scripts.output import complain, say, told

HELP = "compare methods over seeds and base models, and write one table"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.toml", help="the experiment, or the name of one in scripts/experiments")
    parser.add_argument("--out", type=path_type, metavar="DIR", help="its folder (default: runs/experiments/<name>)")
    parser.add_argument(
        "--parallel", type=whole_number(1, 1000), metavar="N", help="runs at once (default: as the file says)"
    )
    parser.add_argument(
        "--minutes", type=positive_number, metavar="M", help="begin no run that would last longer than this"
    )
    parser.add_argument(
        "--heldout",
        action="store_true",
        help="needed where the split is heldout: those tasks are for reporting, once, what was chosen on others",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="a setting of where and how fast the runs go on this machine, e.g. simulator.episodes=200",
    )
    parser.add_argument("--report", action="store_true", help="run nothing, only write the results of what is there")
    parser.add_argument("--dry-run", action="store_true", help="say which runs there would be, start nothing")


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.log import LogFormatError
    from runtime.settings import SettingsError
    from runtime.signals import ignoring
    from scripts.launch.model_check import device_problems, experiment_problems
    from scripts.launch.writer import Writer
    from scripts.trials import plan
    from scripts.trials.conduct import Conduct
    from scripts.trials.machine import at_once, gpus
    from scripts.trials.runner import Runner

    try:
        file = plan.find(given.file)
        experiment = plan.read(file)
        folder = given.out or Path("runs/experiments") / file.stem
        if experiment.split == "heldout" and not given.heldout:
            return _refuse(
                f"{file} measures on the held-out tasks, which are to be used once, to report what was chosen on the "
                "dev split: say --heldout if that is so, or set split to dev"
            )
        trials = plan.trials(experiment, folder, file=file, overrides=given.overrides)
        if not given.report and (found := experiment_problems([trial.settings for trial in trials])):
            return _refuse(*found)
        lacks = [] if given.report else device_problems(*(trial.settings for trial in trials))
        if lacks and not given.dry_run:
            return _refuse(*lacks)
        parallel = given.parallel or experiment.parallel or min(at_once(trial.settings) for trial in trials)
        if given.dry_run:
            names = "".join(f"{trial.name}\n" for trial in trials)
            say(f"{names}{len(trials)} runs into {folder}, {parallel} at once")
            for lack in lacks:
                complain(f"this machine could not start the runs: {lack}")
            return 0
        conduct = Conduct(experiment, trials, file=file, folder=folder)
        with Writer(sys.stdout) as out, nullcontext() if given.report else conduct.locked():
            runner = Runner(
                trials, bases=conduct.setting.bases, parallel=parallel, gpus=gpus(), minutes=given.minutes,
                say=lambda text: out.write(f"{text}\n"), over=conduct.write,
            )  # fmt: skip
            runner.look()
            if not given.report:
                done = len(runner.outcomes)
                out.write(f"{len(trials)} runs, {done} of them finished before; {parallel} at once, into {folder}\n")
                anyio.run(runner.run)
            with ignoring(signal.SIGHUP):  # closing the terminal now must not lose the results
                conduct.write(runner.outcomes)
            out.write(f"{len(runner.outcomes)} of {len(trials)} runs are in {folder / 'results.md'}\n")
    except (SettingsError, LogFormatError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(told(error))
    if runner.stopped:
        return 128 + runner.stopped
    return 0 if given.report or len(runner.outcomes) == len(trials) else 1


def _refuse(*reasons: str) -> int:
    for reason in reasons:
        complain(reason)
    return 2
