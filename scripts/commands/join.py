"""Runs one service on another machine than its run, for example a critic on a second GPU.

The key, made there with `selu keys make NAME --role ROLE`, determines the service. Its settings are those of the run:
copy settings.toml from the run's folder, and change with --set what differs here, such as model.path. Frames and
adapters travel through the hub. Ctrl-C ends it; other processes of its role then take over its unfinished work.
"""

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.output import complain

if TYPE_CHECKING:
    from runtime.keys import Key
    from runtime.runfolder import RunFolder
    from scripts.launch.writer import Writer
    from services.settings import Settings

WATCH_SECONDS, GONE_SECONDS = 2.0, 30.0
"""Interval between checks of the hub, and time without an answer after which the run counts as over."""

HELP = "run one service of a run that is up on another machine"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect", required=True, metavar="ENDPOINT", help="the hub's, e.g. tcp://gpu1:5555")
    parser.add_argument(
        "--key", required=True, type=path_type, metavar="FILE", help="the key to join with (see selu keys)"
    )
    parser.add_argument("--settings", required=True, type=path_type, metavar="FILE", help="the run's settings.toml")
    parser.add_argument(
        "--run",
        type=path_type,
        metavar="DIR",
        help="folder for its logs and adapters (default: runs/<name of the key>)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", dest="overrides", help="one setting, e.g. model.path=DIR"
    )


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.child import main_of
    from runtime.endpoints import EndpointError, resolve, to_connect
    from runtime.keys import KeysError, read_key
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError, dump, load
    from scripts.launch.writer import Writer
    from services.setting_kinds import with_absolute_paths
    from services.settings import Settings

    try:
        resolve(to_connect(given.connect))
        key = read_key(given.key)
        if key.role == "observer":
            complain(
                f"the key {key.name} only reads along: use `selu attach TOPIC --connect {given.connect} --key FILE`"
            )
            return 2
        main_of(key.role)
        settings = with_absolute_paths(load(Settings, file=given.settings, overrides=given.overrides))
        path = given.run or Path("runs") / key.name
        folder = RunFolder.open(path) if (path / "format").exists() else RunFolder.create(path)
        with folder.locked() as lock, Writer(sys.stdout) as out, _held(key) as file:
            folder.write_settings(dump(settings, f"What {key.name} runs with, from {given.settings}."))
            return anyio.run(_keep, folder, settings, key, file, given.connect, lock, out)
    except (EndpointError, KeysError, RunFolderError, SettingsError) as error:
        complain(str(error))
        return 2


@contextmanager
def _held(key: "Key") -> Generator[Path]:
    """A file with the key that exists as long as this process, for each start of the service. The given file may be a
    pipe, as in ``--key <(...)``, which can be read only once."""
    from runtime.settings import dump

    descriptor = os.memfd_create("key")
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, dump(key).encode())
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)


async def _keep(
    run: "RunFolder", settings: "Settings", key: "Key", file: Path, endpoint: str, lock: int, out: "Writer"
) -> int:
    """Runs the service, restarting it within the run's budget, until the run ends or a signal stops it."""
    import anyio

    from protocols.errors import DeadlineExceeded, NotAdmitted, ProtocolError
    from runtime.child import command, environment
    from runtime.mesh import connect
    from runtime.signals import ENDING, receiving
    from runtime.supervisor import Exit, Spec, supervise
    from scripts.launch.lines import exited

    over = anyio.Event()
    code = 0

    def end(with_code: int, why: str) -> None:
        nonlocal code
        if with_code in (1, 2):
            complain(why)
        else:
            out.write(f"{why}\n")
        code = with_code
        over.set()

    async def hear(exit: Exit) -> None:
        if exit.again_in is None:
            end(0 if exit.code == 0 else 1, exited(exit))
        else:
            out.write(f"{exited(exit)}\n")

    async def until_told() -> None:
        with receiving(*ENDING) as signals:
            async for number in signals:
                return end(128 + number, "stopping")

    async def until_over() -> None:
        """Waits until the hub is gone. A killed hub is restarted within seconds, long before `GONE_SECONDS`."""
        joined = False
        try:
            async with connect(endpoint, role=key.role, instance=f"{key.name}/join", key=key) as mesh:
                joined = True
                while True:
                    await mesh.status(timeout=GONE_SECONDS)
                    await anyio.sleep(WATCH_SECONDS)
        except DeadlineExceeded as error:
            end(0 if joined else 1, f"the run has ended: {error}" if joined else str(error))
        except ProtocolError as error:
            end(2 if isinstance(error, NotAdmitted) and not joined else 1, str(error))

    restarts, grace = settings.mesh.restarts, settings.mesh.grace_seconds
    out.write(f"{key.name} joins {endpoint} as {key.role}; its log is {run.log_of(key.name)}\n")
    async with (
        supervise(logs=run.logs, on_exit=hear, restarts=restarts, pass_fds=[lock]) as supervisor,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(until_told)
        tasks.start_soon(until_over)
        argv = command(key.name, key.role, run, lifeline=supervisor.lifeline, hold=[lock], key=file, endpoint=endpoint)
        await supervisor.start(Spec(instance=key.name, argv=argv, env=environment(), grace=grace))
        await over.wait()
        tasks.cancel_scope.cancel()
    return code
