"""Looks at this machine and says what stands in the way of a run, and what to do about it."""

import argparse
import json
import sys
from pathlib import Path

HELP = "say what this machine lacks for a run, and what to do"

WORLDS = ("ai2thor",)
"""The worlds with needs of their own."""

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as a JSON list")
    parser.add_argument("--model", type=Path, metavar="DIR", help="look at this model folder too")
    parser.add_argument("--world", choices=WORLDS, help="look at what this world needs too")
    parser.add_argument("--virtualhome-player", metavar="COMMAND", help="try whether this VirtualHome player starts")


def run(given: argparse.Namespace) -> int:
    from scripts.launch.health import examine

    findings = examine(given.model, given.virtualhome_player, given.world)
    if given.json:
        rows = [{"what": f.what, "state": f.state, "found": f.found, "do": f.do} for f in findings]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            sys.stdout.write(f"{MARKS[finding.state]}  {finding.what.ljust(width)}  {finding.found}\n")
            if finding.do:
                sys.stdout.write(f"      {' ' * width}  -> {finding.do}\n")
    return int(any(finding.state == "fail" for finding in findings))
