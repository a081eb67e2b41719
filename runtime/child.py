"""The entry point of a supervised process: ``python -m runtime.child critic-0 --role critic --run runs/one``.

The role ``hub`` runs the hub. Every other role runs ``main`` of the module ``services.<role>.service``, which is
imported by name, because the runtime does not depend on any service.
"""

import argparse
import errno
import importlib
import importlib.util
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec

from protocols.errors import NotAdmitted, Replaced
from runtime import crash, lifeline, witness
from runtime.endpoints import EndpointError
from runtime.keys import Key, KeysError, KeysFolder, read_key
from runtime.log import LogFormatError, LogUnavailable
from runtime.parent_death import name_process
from runtime.runfolder import RunFolder, RunFolderError
from runtime.service import LOOK_SECONDS, RESTORE_SECONDS, Main, Service, leaves, run_hub, run_service
from runtime.settings import SettingsError, load
from runtime.supervisor import HOPELESS
from runtime.user import user_variables

HUB = "hub"


ASKED = 128 + signal.SIGTERM
"""Exit code of a child that was stopped by a signal before its work was done."""


def command(
    instance: str,
    role: str,
    run: RunFolder,
    *,
    lifeline: int | None,
    hold: Sequence[int] = (),
    key: Path | None = None,
    endpoint: str = "",
) -> tuple[str, ...]:
    """Returns the command line of a child.

    ``hold`` are inherited descriptors that stay open until the child ends. ``key`` is the file of the key with which it
    connects, and ``endpoint`` the endpoint of a hub on another machine.
    """
    options = ["--role", role, "--run", str(run.path)]
    for option, value in (("--lifeline", lifeline), ("--key", key), ("--connect", endpoint or None)):
        options += [] if value is None else [option, str(value)]
    for descriptor in hold:
        options += ["--hold", str(descriptor)]
    return (sys.executable, "-m", "runtime.child", instance, *options)


def environment() -> dict[str, str]:
    """Returns the environment variables that a child needs in addition to those of this process.

    This package's folder comes first on ``PYTHONPATH``: a folder named ``runtime`` elsewhere must not replace it.
    OpenMP threads sleep while they wait: a run has more threads than cores, and a spinning thread can block the one it
    waits for. A user without a name gets one.
    """
    root = str(Path(__file__).parents[1])
    path = [root, *(place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in ("", root))]
    return {
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONSAFEPATH": "1",
        **user_variables(),
    }


def main_of(role: str) -> Main:
    """Imports a role's service module and returns its ``main``.

    Raises:
        SettingsError: there is no such role.
    """
    module_name = f"services.{role}.service"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", role) or not _exists(module_name):
        raise SettingsError(f"no role {role!r}: there is no services/{role}/service.py")
    found = getattr(importlib.import_module(module_name), "main", None)
    if not callable(found):
        raise SettingsError(f"no role {role!r}: {module_name} has no main(service)")
    return cast(Main, found)


def _exists(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:
        return False


def settings_type() -> type[msgspec.Struct]:
    """Returns the type of the run's settings, imported by name as the services are."""
    return importlib.import_module("services.settings").Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a role until it ends or is stopped. Returns the exit code: `HOPELESS` if a restart would fail again."""
    parser = argparse.ArgumentParser(prog="python -m runtime.child", description=__doc__)
    parser.add_argument("instance")
    parser.add_argument("--role", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--lifeline", type=int)
    parser.add_argument("--hold", type=int, action="append", default=[])
    parser.add_argument("--key", type=Path, help="the file of the key to join with")
    parser.add_argument("--connect", default="", help="the hub's endpoint, where it is on another machine")
    given = parser.parse_args(arguments)
    name_process(f"selu-{given.instance}")
    for descriptor in given.hold:
        os.set_inheritable(descriptor, False)
    if given.lifeline is not None:
        lifeline.watch(given.lifeline)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    log = logging.getLogger(f"selu.{given.instance}")
    try:
        crash.arm(given.role)
        witness.begin(given.instance)
        run = RunFolder.open(given.run)
        settings: Any = load(settings_type(), file=run.settings_file)
        if given.role == HUB:
            return _hub(run, settings)
        return _service(given.role, given.instance, run, settings, given.key, given.connect)
    except Exception as error:
        found = leaves(error)
        reasons = [leaf for leaf in found if needs_a_person(leaf)]
        said = reasons or [leaf for leaf in found if isinstance(leaf, LogUnavailable)]
        for reason in said:
            log.error("%s", reason)
        if not said:
            log.exception("%s failed", given.instance)
        return HOPELESS if reasons else 1
    finally:
        logging.shutdown()
        lifeline.end_group()


def _hub(run: RunFolder, settings: Any) -> int:
    mesh = settings.mesh
    keys = KeysFolder(Path(mesh.keys)) if mesh.keys else None
    serve = partial(run_hub, run, keys=keys, session_seconds=mesh.session_seconds, ping_seconds=mesh.heartbeat_seconds)
    anyio.run(serve)
    return ASKED


def _service(role: str, instance: str, run: RunFolder, settings: Any, key: Path | None, endpoint: str) -> int:
    entry = main_of(role)
    finished = False

    async def main(service: Service) -> None:
        nonlocal finished
        await entry(service)
        finished = True

    shown = None if key is None else wait_for_key(key)
    anyio.run(partial(run_service, role, instance, run, settings, main, key=shown, endpoint=endpoint))
    return 0 if finished else ASKED


def wait_for_key(file: Path) -> Key:
    """Reads the key. Waits `RESTORE_SECONDS` for a missing file, because the launcher restores removed key files.

    Raises:
        KeysError: the key cannot be read or is not a key.
    """
    deadline = time.monotonic() + RESTORE_SECONDS
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return read_key(file)


def needs_a_person(error: BaseException) -> bool:
    """Returns whether a restart would fail with the same error, until a person corrects something."""
    if isinstance(error, OSError):
        return error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENODEV)
    if isinstance(error, LogUnavailable):
        return False
    return isinstance(
        error, SettingsError | RunFolderError | LogFormatError | KeysError | NotAdmitted | Replaced | EndpointError
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Skips Python's own cleanup, which takes seconds with a model's libraries loaded and has no use here.
    os._exit(code)
