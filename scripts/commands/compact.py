"""Deletes data that a stopped run no longer needs: frames of old rounds, and blobs that no message names.

Messages, datasets and adapters stay. Frames stay too if a consumer group has not acknowledged their round, if a later
training reads them, or if measurements use them. The run's retention settings, or --rounds and --gib, select the
rounds; by default the frames of all rounds stay. docs/OPERATIONS.md describes the policy.
"""

import argparse

from scripts.arguments import path_type
from scripts.output import complain, say, told

HELP = "let go of frames that nobody needs any more, and make the log small"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=path_type, metavar="RUN", help="the run's folder")
    parser.add_argument("--rounds", type=int, metavar="N", help="keep the frames of the newest N rounds")
    parser.add_argument(
        "--gib", type=float, metavar="G", help="keep at most G GiB, the oldest rounds' frames going first"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and let nothing go")


def run(given: argparse.Namespace) -> int:
    from protocols.errors import StorageFull
    from runtime.log import Log, LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError, load
    from scripts.upkeep.sweep import Sweeper, Unreadable
    from services.report.numbers import size
    from services.settings import Settings

    overrides = [
        f"retention.{name}={value}" for name in ("rounds", "gib") if (value := getattr(given, name)) is not None
    ]
    try:
        folder = RunFolder.open(given.run)
        with folder.locked(wait_seconds=0.0):
            settings = load(Settings, file=folder.settings_file, overrides=overrides)
            swept = Sweeper(folder, settings, grace=0.0).sweep(pretend=given.dry_run)
            before = folder.log_size()
            if not given.dry_run:
                log = Log(folder.log_file)
                try:
                    log.compact()
                finally:
                    log.close()
    except (RunFolderError, LogFormatError, SettingsError, Unreadable, StorageFull, OSError) as error:
        complain(told(error))
        return 2
    would = "would go" if given.dry_run else "are gone"
    rounds = ", ".join(map(str, swept.plan.rounds)) or "none"
    say(f"{swept.blobs} blobs of {size(swept.bytes)} {would}")
    say(f"rounds without frames: {rounds} (frames that are needed elsewhere stay)")
    for group, behind in swept.plan.waiting.items():
        numbers = ", ".join(map(str, behind))
        say(f"kept because the consumer group {group!r} has not read them yet: rounds {numbers}")
    if swept.plan.over:
        say(f"{size(swept.plan.over)} over the bound: all frames that are left are needed")
    if not given.dry_run:
        say(f"log: {size(before)} before, {size(folder.log_size())} now")
    return 0
