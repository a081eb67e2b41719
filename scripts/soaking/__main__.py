"""Soak test: injects random faults into whole runs with scripted models, and into a hub under load.

    scripts/soak [--seconds 60] [--seed S]

Runs under faults alternate with "storms" (a hub under load and faults); each run is completed. Exit code 0 means that
no acknowledged message was lost, no effect occurred twice, and every run trained on exactly the same data as a run
without faults. The seed fixes the order of the faults, not their times. After a failure the files are kept, and their
folder is printed.
"""

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio

from scripts.soaking.checker import Findings
from scripts.soaking.rounds import RunFailed, disturbed, undisturbed
from scripts.soaking.storm import storm

STORM_SHARE = 0.4
"""The share of the time for storms."""


class Soak:
    """One soak test: the reference run, the runs and storms under faults, and the results."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self.injected: Counter[str] = Counter()
        self.acknowledged = 0
        self.wrong: list[str] = []

    @property
    def _left(self) -> float:
        return self._until - time.monotonic()

    async def run(self) -> None:
        """Runs one storm, then runs and storms in turn until the time is over. The last run is completed."""
        reference = await undisturbed(self._folder / "undisturbed")
        await self._storm()
        turn = 0
        while self._left > 0 or not turn:
            turn += 1
            name = f"run{turn}"
            try:
                found, faults = await disturbed(self._folder / name, seed=self._chance.getrandbits(32))
            except RunFailed as error:
                self.wrong.append(f"{name} {error}")
                continue
            self._take(name, found, faults)
            if found.learned != reference.learned:
                self.wrong.append(f"{name} learned {found.learned}, undisturbed {reference.learned}")
            if self._left > 0:
                await self._storm()

    async def _storm(self) -> None:
        seconds = max(2.0, min(STORM_SHARE * self._seconds, 30.0, STORM_SHARE * self._left))
        name = f"storm{time.monotonic_ns()}"
        self._take(name, *await storm(self._folder / name, seed=self._chance.getrandbits(32), seconds=seconds))

    def _take(self, name: str, found: Findings, faults: Counter[str]) -> None:
        say(f"{name}: {faults.total()} faults; {found}")
        self.injected += faults
        self.acknowledged += found.acknowledged
        if not found.sound:
            self.wrong.append(f"{name}: {found}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="fixes the order of faults (default: another each time)")
    given = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    logging.disable(logging.CRITICAL)  # clients log each lost connection, which is expected here
    say(f"seed {seed}, {given.seconds:.0f} s")
    folder = Path(tempfile.mkdtemp(prefix="selu-soak-"))
    begun, load = time.monotonic(), os.getloadavg()[0]
    soak = Soak(folder, given.seconds, seed)
    anyio.run(soak.run)
    for kind, times in soak.injected.most_common():
        say(f"{times:6}  {kind}")
    say(
        f"{soak.injected.total()} faults in {time.monotonic() - begun:.0f} s (load at the start {load:.1f}), "
        f"{soak.acknowledged} acknowledged messages, seed {seed}"
    )
    for text in soak.wrong:
        say(text)
    if soak.wrong:
        say(f"FAILED: what is left of it is in {folder}")
        return 1
    shutil.rmtree(folder)
    say("sound: nothing lost, nothing twice, the same learned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
