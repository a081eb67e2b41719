"""Replays a run's log and compares every dataset with the one that was recorded at its training.

The same messages under the same settings give the same rows of D_c and D_a, digest for digest. For a difference it
prints the adapter and the first trajectory that differs. If settings were changed when the run was resumed, the latest
ones are used for the whole run.
"""

import argparse
import json

from scripts.arguments import path_type
from scripts.output import complain, say, told

HELP = "fold a run's log again and compare the datasets with the recorded ones"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=path_type, metavar="RUN", help="the run's folder")
    parser.add_argument("--json", action="store_true", help="the comparison as a JSON list")


def run(given: argparse.Namespace) -> int:
    import msgspec

    from protocols.errors import ProtocolError
    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError, load
    from scripts.upkeep.replay import replay
    from services.settings import Settings

    try:
        folder = RunFolder.open(given.run)
        compared = list(replay(folder, load(Settings, file=folder.settings_file)))
    except (RunFolderError, LogFormatError, SettingsError, ProtocolError, OSError) as error:
        complain(told(error))
        return 2
    different = [one for one in compared if one.difference]
    if given.json:
        say(json.dumps([msgspec.to_builtins(one) for one in compared], indent=2))
        return int(bool(different))
    for one in compared:
        mark = "FAIL" if one.difference else "same"
        say(f"{mark}  {one.adapter:10}  {one.dataset}  {one.rows:6} rows  {one.recorded[:12]}")
        if one.difference:
            say(f"      -> {one.difference}")
    if not compared:
        say("nothing has been trained yet")
    elif not different:
        say(f"all {len(compared)} datasets are those that were recorded")
    return int(bool(different))
