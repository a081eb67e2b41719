"""Makes, lists and revokes the keys with which processes of other machines join a run.

A run accepts other machines with mesh.endpoint=tcp://0.0.0.0:PORT and mesh.keys=FOLDER. Its hub accepts the keys in
that folder, including keys made or revoked during the run. Give a key's file to its holder only.

With --run it manages the keys of one run on this machine: a key lets a consumer of yours write to that run, and is
deleted with it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.output import complain, say

if TYPE_CHECKING:
    from runtime.keys import KeysFolder
    from runtime.runfolder import RunFolder

HELP = "make, list and revoke keys for a mesh that other machines join"

FOLDER = "~/.config/selu/keys"


def arguments(parser: argparse.ArgumentParser) -> None:
    where = argparse.ArgumentParser(add_help=False)
    either = where.add_mutually_exclusive_group()
    either.add_argument("--keys", type=path_type, metavar="DIR", help=f"the keys' folder (default: {FOLDER})")
    either.add_argument("--run", type=path_type, metavar="DIR", help="the folder of a run that is up on this machine")
    actions = parser.add_subparsers(dest="action", metavar="make|list|revoke", required=True)
    make = actions.add_parser("make", parents=[where], help="make a key and print its file")
    make.add_argument("name", metavar="NAME")
    make.add_argument(
        "--role", default="observer", help="what its holder may be: observer (reads only; default), critic, actor, ..."
    )
    actions.add_parser("list", parents=[where], help="print the keys that are let in")
    revoke = actions.add_parser("revoke", parents=[where], help="let a key in no more; it is put out within a second")
    revoke.add_argument("name", metavar="NAME")


def run(given: argparse.Namespace) -> int:
    from runtime.keys import KeysError, KeysFolder
    from runtime.runfolder import RunFolder, RunFolderError

    try:
        folder = _keys_of(RunFolder.open(given.run)) if given.run else KeysFolder(given.keys or Path(FOLDER))
        match given.action:
            case "make":
                file = _make(folder, given.name, given.role, of_run=given.run is not None)
                say(str(file))
            case "revoke":
                folder.check()
                folder.revoke(given.name)
            case _:
                folder.check()
                for entry in folder.allowed():
                    say(f"{entry.name}  {entry.role}  {entry.proof}")
    except (KeysError, RunFolderError) as error:
        complain(str(error))
        return 2
    return 0


def _keys_of(run: "RunFolder") -> "KeysFolder":
    from runtime.keys import KeysError

    if not run.in_use():
        raise KeysError(f"{run.path} is not running: a run has keys of its own only while it is up")
    return run.keys


def _make(folder: "KeysFolder", name: str, role: str, *, of_run: bool) -> Path:
    """Makes a key in a user's keys folder, which is created if missing, or in a run's."""
    from runtime.keys import KeysError

    if not of_run:
        folder.create()
        return folder.make(name, role, hub=folder.hub_key().public)
    folder.check()
    if any(entry.proof.startswith("curve:") for entry in folder.allowed()):
        raise KeysError(f"this run takes the keys of its mesh.keys folder: make {name!r} there")
    return folder.make(name, role)
