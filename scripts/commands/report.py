"""Writes summary.json and report.html of a run folder anew, and prints the figures. Works on a running run too."""

import argparse
import sys

from scripts.arguments import path_type

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
            sys.stdout.write(table(summarize(folder)) + "\n")
            sys.stderr.write(f"selu: the report cannot be written into {folder.path}: {error.strerror or error}\n")
            return 1
    except (RunFolderError, LogFormatError, SettingsError, OSError) as error:
        sys.stderr.write(f"selu: {error}\n")
        return 2
    sys.stdout.write(conclusion(summary, folder) + "\n")
    return 0
