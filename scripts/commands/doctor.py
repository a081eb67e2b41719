"""Checks this machine, or a run's folder, and prints each problem with its remedy.

In a run it checks the log (SQLite's own check, offsets without a gap, messages that can be decoded), the presence and
digest of every blob, adapters, offsets of consumer groups, settings, and files left by killed processes.
--repair fixes problems that can be fixed without loss. The run must not be up.
"""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.output import complain, say, told

if TYPE_CHECKING:
    from scripts.launch.finding import Finding

HELP = "say what this machine, or a run's folder, lacks, and what to do"

WORLDS = ("ai2thor", "virtualhome")
"""The worlds with requirements of their own."""

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=path_type, nargs="?", metavar="RUN", help="look at this run's folder instead")
    parser.add_argument("--repair", action="store_true", help="with RUN: mend what can be mended without a loss")
    parser.add_argument("--json", action="store_true", help="the findings as a JSON list")
    parser.add_argument("--model", type=path_type, metavar="DIR", help="look at this model folder too")
    parser.add_argument("--world", choices=WORLDS, help="look at what this world needs too")
    parser.add_argument("--virtualhome-player", metavar="COMMAND", help="try whether this VirtualHome player starts")


def run(given: argparse.Namespace) -> int:
    if given.run is not None:
        return _of_run(given)
    if given.repair:
        complain("--repair needs a run's folder: selu doctor RUN --repair")
        return 2
    from scripts.launch.health import examine

    return _say(examine(given.model, given.virtualhome_player, given.world), given.json)


def _of_run(given: argparse.Namespace) -> int:
    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from scripts.launch.finding import Finding
    from scripts.upkeep.inspect import inspect
    from scripts.upkeep.repair import repair

    try:
        folder = RunFolder.open(given.run)
        if not given.repair:
            return _say(inspect(folder).findings, given.json)
        with folder.locked(wait_seconds=0.0):
            done = list(repair(folder, inspect(folder, live=False)))
            mended = [Finding(what="repaired", state="ok", found=text) for text in done]
            return _say([*mended, *inspect(folder, live=False).findings], given.json)
    except (RunFolderError, LogFormatError, OSError) as error:
        complain(told(error))
        return 2


def _say(findings: "Sequence[Finding]", as_json: bool) -> int:
    if as_json:
        rows = [{"what": f.what, "state": f.state, "found": f.found, "do": f.do} for f in findings]
        say(json.dumps(rows, indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            say(f"{MARKS[finding.state]}  {finding.what.ljust(width)}  {finding.found}")
            if finding.do:
                say(f"      {' ' * width}  -> {finding.do}")
    return int(any(finding.state == "fail" for finding in findings))
