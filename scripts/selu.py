"""The `selu` command: starts and inspects runs, checks this machine, and writes reports.

Each command is a module of scripts.commands. Heavy modules are imported only when a command runs.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.output import OutputGone, causes, complain, prepare, record, say, settle

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COMMANDS = ("up", "attach", "join", "keys", "report", "doctor", "replay", "compact", "experiment", "probe")

FOLDERS = ("resume", "run", "out")
"""The options that name a folder for what a command writes."""

EXIT_CODES = """exit codes:
  0  done
  1  it was started and did not succeed: the text says what failed
  2  it was not started: something given is wrong, and the text says what to do
  129, 130, 143  stopped by SIGHUP (the terminal was closed), by Ctrl-C, by SIGTERM; a run can be resumed
  141  whatever read the output went away (| head). A run and an experiment go on without a reader, and end as above
A signal that is ignored when selu starts (SIGHUP under nohup) stays ignored.
"""


class _Parser(argparse.ArgumentParser):
    """A parser that reports when its help cannot be written."""

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        if file is sys.stdout:
            say(message.removesuffix("\n"))
        else:
            super()._print_message(message, file)


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="selu",
        description="A multimodal model teaches itself an unknown world: no reward, no human labels.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"scripts.commands.{name}")
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.set_defaults(run_command=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns its exit code; see `EXIT_CODES`."""
    prepare()
    given = argparse.Namespace()
    try:
        Path.cwd()
    except OSError as error:
        complain(f"the current folder cannot be used ({error.strerror}): change to another one")
        return 2
    try:
        parser().parse_args(arguments, given)
        return settle(given.run_command(given))
    except SystemExit as end:  # raised by argparse, which has printed the reason, or by a signal handler
        raise SystemExit(settle(end.code if isinstance(end.code, int) else 1)) from None
    except BaseException as error:
        return settle(_failed(error, given))


def _failed(error: BaseException, given: argparse.Namespace) -> int:
    """Reports the error and returns the exit code."""
    found = list(causes(error))
    if any(isinstance(one, KeyboardInterrupt) for one in found):
        return 128 + signal.SIGINT
    for one in found:
        if isinstance(one, SystemExit) and isinstance(one.code, int):
            return one.code
    if gone := [one for one in found if isinstance(one, OutputGone)]:
        if not gone[0].reader_gone:
            complain(str(gone[0]))
        return gone[0].code
    complain(record(error, [path for name in FOLDERS if isinstance(path := getattr(given, name, None), Path)]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
