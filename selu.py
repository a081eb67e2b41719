"""The `selu` command: puts this package's own folders first on the import path, then starts it.

`PYTHONPATH` or the current folder may hold folders named `runtime`, `services` or `scripts` too. Whatever they are, the
command and the processes it starts import its own.
"""

import sys
from pathlib import Path


def main() -> int:
    root = str(Path(__file__).resolve().parent)
    sys.path[:] = [root, *(place for place in sys.path if place != root)]
    from scripts.selu import main as selu

    return selu()


if __name__ == "__main__":
    sys.exit(main())
