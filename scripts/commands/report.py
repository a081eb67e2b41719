"""Writes summary.json and report.html of a run folder, and prints the metrics. Works during a run too."""

import argparse

from scripts.arguments import path_type
from scripts.output import complain, say, told

HELP = "write a run's report and print its figures"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=path_type, metavar="RUN", help="the run's folder")


def run(given: argparse.Namespace) -> int:
    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError
    from scripts.launch.ending import conclude, conclusion, summarize, table

    try:
        folder = RunFolder.open(given.run)
        try:
            summary = conclude(folder)
        except OSError as error:
            say(table(summarize(folder)))
            complain(f"the report cannot be written into {folder.path}: {error.strerror or error}")
            return 1
    except (RunFolderError, LogFormatError, SettingsError, OSError) as error:
        complain(told(error))
        return 2
    say(conclusion(summary, folder))
    return 0
