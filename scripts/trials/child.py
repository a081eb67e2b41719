"""One trial's launcher, tied to the experiment that started it: ``python -m scripts.trials.child PIPE up ...``."""

import sys

from runtime.lifeline import watch
from scripts.selu import main

ORPHAN_SECONDS = 10.0
"""How long a run may take to end cleanly once its experiment is gone."""

if __name__ == "__main__":
    watch(int(sys.argv[1]), grace=ORPHAN_SECONDS)
    sys.exit(main(sys.argv[2:]))
