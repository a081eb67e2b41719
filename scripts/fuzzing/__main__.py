"""Throws mutated requests at a live hub and says what came of it; exit code 1 where a promise was broken."""

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

import anyio

from scripts.fuzzing.attack import attack


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000, metavar="N")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="what is thrown (default: anything)")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="selu-fuzz-") as folder:
        verdict = anyio.run(partial(attack, Path(folder) / "run", given.messages, seed))
    refused = ", ".join(f"{count} {code}" for code, count in verdict.refused.most_common())
    sys.stdout.write(
        f"seed {seed}: {verdict.sent} requests in {verdict.seconds:.1f} s, {verdict.accepted} accepted, "
        f"{verdict.refused.total()} refused ({refused})\n"
        f"the neighbour said and read {verdict.neighbour} messages; {verdict.recorded} faults recorded; "
        f"the hub grew by {verdict.grown / 2**20:.0f} MiB\n"
    )
    for problem in verdict.problems:
        sys.stdout.write(f"FAIL  {problem}\n")
    return int(bool(verdict.problems))


if __name__ == "__main__":
    sys.exit(main())
