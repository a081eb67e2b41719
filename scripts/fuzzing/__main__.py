"""Fuzz test: searches for inputs that violate a guarantee. Exit code 1 if it finds one.

By default it sends mutated requests to a live hub. With --properties it runs the test suite's property tests on random
examples instead of the fixed ones that CI uses. The printed seed repeats a run.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import anyio

from scripts.fuzzing.attack import attack


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000, metavar="N")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="repeat the run with this seed")
    parser.add_argument("--properties", action="store_true", help="run the property tests on random examples")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="with --properties: run with N seeds")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    if given.properties:
        return max(_properties(seed + offset) for offset in range(given.repeat))
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


def _properties(seed: int) -> int:
    """Runs all property tests with one seed. Returns 1 if a test fails, else 0."""
    sys.stdout.write(f"seed {seed}: property tests on random examples\n")
    sys.stdout.flush()
    pytest = [sys.executable, "-m", "pytest", "-m", "hypothesis and not vllm"]
    done = subprocess.run([*pytest, "--hypothesis-profile=random", f"--hypothesis-seed={seed}"], check=False)
    if done.returncode:
        sys.stdout.write(f"FAIL  repeat it with scripts/fuzz --properties --seed {seed}\n")
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
