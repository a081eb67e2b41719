"""Runs one service of a run that is up on another machine: a critic beside a second GPU, say.

Which service it is says the key, made there with `selu keys make NAME --role ROLE`. Its settings are those of the run:
copy settings.toml from the run's folder, and change with --set what is different here, such as model.path. Frames and
adapters travel through the hub. Ctrl-C ends it; what it had begun goes to the others of its role.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.keys import Key
    from runtime.runfolder import RunFolder
    from services.settings import Settings

HELP = "run one service of a run that is up on another machine"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect", required=True, metavar="ENDPOINT", help="the hub's, e.g. tcp://gpu1:5555")
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help="the key to join with (see selu keys)")
    parser.add_argument("--settings", required=True, type=Path, metavar="FILE", help="the run's settings.toml")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="folder for its logs and adapters (default: runs/<name of the key>)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", dest="overrides", help="one setting, e.g. model.path=DIR"
    )


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.child import main_of
    from runtime.keys import KeysError, read_key
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError, dump, load
    from services.settings import Settings

    try:
        key = read_key(given.key)
        main_of(key.role)
        settings = load(Settings, file=given.settings, overrides=given.overrides)
        path = given.run or Path("runs") / key.name
        folder = RunFolder.open(path) if (path / "format").exists() else RunFolder.create(path)
        with folder.locked() as lock:
            folder.write_settings(dump(settings, f"What {key.name} runs with, from {given.settings}."))
            return anyio.run(_keep, folder, settings, key, given.key.absolute(), given.connect, lock)
    except (KeysError, RunFolderError, SettingsError) as error:
        sys.stderr.write(f"selu: {error}\n")
        return 2


async def _keep(run: "RunFolder", settings: "Settings", key: "Key", file: Path, endpoint: str, lock: int) -> int:
    """Starts the service again when it dies, within the run's budget, until it ends or somebody stops it."""
    import anyio

    from runtime.child import command, environment
    from runtime.service import until_signalled
    from runtime.supervisor import Exit, Spec, supervise
    from scripts.launch.lines import exited

    over = anyio.Event()
    code = 0

    async def hear(exit: Exit) -> None:
        nonlocal code
        sys.stdout.write(f"{exited(exit)}\n")
        if exit.again_in is None:
            code = 0 if exit.code == 0 else 1
            over.set()

    sys.stdout.write(f"{key.name} joins {endpoint} as {key.role}; its log is {run.log_of(key.name)}\n")
    sys.stdout.flush()
    async with (
        until_signalled() as stopped,
        supervise(logs=run.logs, on_exit=hear, restarts=settings.mesh.restarts, pass_fds=[lock]) as supervisor,
    ):
        argv = command(key.name, key.role, run, lifeline=supervisor.lifeline, hold=[lock], key=file, endpoint=endpoint)
        grace = settings.mesh.grace_seconds
        await supervisor.start(Spec(instance=key.name, argv=argv, env=environment(), grace=grace))
        await over.wait()
    return 130 if stopped() else code
