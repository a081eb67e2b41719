"""Starts a run: the hub and the services as separate processes, until the last round is over.

The run folder holds everything: settings, log, blobs, adapters, logs, metrics, summary and report. Ctrl-C ends the run
cleanly; `selu up --resume FOLDER` continues it.
"""

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.output import complain, say, told

if TYPE_CHECKING:
    from runtime.runfolder import RunFolder
    from scripts.launch.plan import Plan

HELP = "start a run, or resume one"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        metavar="household|scripted|ai2thor|virtualhome|FILE",
        help="which settings to start from (default: household)",
    )
    parser.add_argument(
        "--model",
        type=path_type,
        metavar="DIR",
        help="the model's folder; settings made for its family (scripts/profiles/models) go over the profile's",
    )
    parser.add_argument(
        "--method",
        metavar="NAME|FILE",
        help="which method learns, e.g. selu (the default), selu-paper, lmsi, base; its settings (scripts/methods) go "
        "over the profile's",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often the model learns; short for --set run.rounds=N"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--run", type=path_type, metavar="DIR", help="the new run's folder (default: runs/<time>-<profile>)"
    )
    where.add_argument("--resume", type=path_type, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="K=V",
        dest="overrides",
        help="one setting, e.g. simulator.quota=100",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, show settings and processes, start nothing"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines even on a terminal")


def run(given: argparse.Namespace) -> int:
    from runtime.keys import KeysError
    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError, dump
    from runtime.storage import is_full
    from scripts.launch.model_check import device_problems
    from scripts.launch.plan import new_plan, resumed_plan
    from scripts.launch.preflight import problems
    from scripts.launch.resume import record_inputs

    overrides = [*given.overrides, *([] if given.rounds is None else [f"run.rounds={given.rounds}"])]
    try:
        if given.resume is not None:
            if (given.profile, given.model, given.method) != (None, None, None):
                return _refuse(
                    "--resume goes on with the run's own settings: leave --profile, --model and --method out, change "
                    "single ones with --set"
                )
            plan = resumed_plan(given.resume, overrides=overrides)
        else:
            plan = new_plan(
                given.profile or "household", model=given.model, method=given.method, folder=given.run,
                overrides=overrides,
            )  # fmt: skip
            RunFolder.check_new(plan.folder, numbered=plan.numbered)
        if given.dry_run:
            processes = "\n".join(f"#   {process.instance}" for process in plan.processes)
            say(dump(plan.settings, comments=True) + f"\n# into {plan.folder}, as the processes\n{processes}")
            if found := problems(plan):
                return _refuse(*found)
            for lack in device_problems(plan.settings):
                complain(f"this machine could not start the run: {lack}")
            return 0
        if not plan.resume:
            if found := problems(plan) or device_problems(plan.settings):
                return _refuse(*found)
            plan = plan.create()
        folder = RunFolder.open(plan.folder)
        with folder.locked() as lock:
            # The port and folder of a resumed run are free only after its former launcher has ended.
            if plan.resume and (found := problems(plan) or device_problems(plan.settings)):
                return _refuse(*found)
            folder.write_settings(dump(plan.settings, f"The resolved settings of this run ({plan.profile})."))
            record_inputs(folder, plan.settings)
            return _launch(plan, folder, lock, plain=given.plain)
    except (SettingsError, RunFolderError, LogFormatError, KeysError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{told(error)}{': free space, and try again' if is_full(error) else ''}")


def _launch(plan: "Plan", folder: "RunFolder", lock: int, *, plain: bool) -> int:
    import anyio

    from runtime.signals import exiting, ignoring
    from runtime.storage import is_full
    from scripts.launch.ending import conclude, conclusion, tidy
    from scripts.launch.guard import lost
    from scripts.launch.keys import give_keys
    from scripts.launch.run import launch
    from scripts.launch.show import choose
    from scripts.launch.writer import Writer

    mesh = plan.settings.mesh
    with Writer(sys.stdout) as out:
        try:
            with exiting(signal.SIGTERM, signal.SIGHUP):  # until the launcher handles these signals
                folder.listen_at(mesh.endpoint, keyed=bool(mesh.keys))
                give_keys(plan, folder)
                with choose(plain, out) as show:
                    show.event(f"run {folder.path}, profile {plan.profile}")
                    outcome = anyio.run(launch, plan, folder, lock, show)
        finally:
            folder.stop_listening()
        if gone := lost(folder):
            complain(gone)
            return 1
        resume = f"selu up --resume {folder.path}"
        try:
            with ignoring(signal.SIGHUP):  # closing the terminal after the run must not lose the report
                tidy(folder, plan.settings)
                summary = conclude(folder)
            out.write(conclusion(summary, folder) + "\n")
        except OSError as error:
            complain(
                f"the report cannot be written: {told(error)}: {'free space' if is_full(error) else 'mend that'}; then "
                f"`selu report {folder.path}` writes it"
            )
            return 2 if is_full(error) else 1
        if outcome.how == "stopped":
            out.write(f"\nstopped; go on with: {resume}\n")
            return 128 + outcome.signal
    if outcome.how == "failed":
        complain(f"{outcome.why}\nWhen that is mended, go on with: {resume}")
        return 1
    return 0


def _refuse(*reasons: str) -> int:
    """Prints the reasons and returns the exit code: 0 if there are none."""
    for reason in reasons:
        complain(reason)
    return 2 if reasons else 0
