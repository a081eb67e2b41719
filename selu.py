"""The `selu` command: puts the folder of this file first on the import path, then runs `scripts.selu`.

The current folder or `PYTHONPATH` may contain other folders named `runtime`, `services` or `scripts`; the command and
the processes that it starts must not import those.
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
