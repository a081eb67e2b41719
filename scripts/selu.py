"""The `selu` command: starts a run, looks into one, checks this machine, and writes reports.

Each command is a module of scripts.commands. Nothing heavy is imported before one of them runs.
"""

import argparse
import importlib
import io
import sys
from collections.abc import Sequence

COMMANDS = ("up", "attach", "join", "keys", "report", "doctor", "replay", "compact", "experiment", "probe")

EXIT_CODES = """exit codes:
  0  done
  1  it was started and did not succeed: the text says what failed
  2  it was not started: something given is wrong, and the text says what to do
  130, 143  stopped by Ctrl-C, by SIGTERM; a run can be resumed
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without UTF-8 has no letter for everything that we say
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(arguments)
    try:
        return given.run_command(given)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain when it flushes at the end.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
