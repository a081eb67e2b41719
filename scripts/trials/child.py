"""One trial's launcher, which ends with its experiment: ``python -m scripts.trials.child PIPE up ...``."""

import sys

from runtime.lifeline import watch
from scripts.selu import main

ORPHAN_SECONDS = 10.0
"""Time for a run to end cleanly after its experiment has ended."""

if __name__ == "__main__":
    watch(int(sys.argv[1]), grace=ORPHAN_SECONDS)
    sys.exit(main(sys.argv[2:]))
