"""The stand-in as the command line of an executable, with faults and settings in its environment."""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

DISPLAY = ROOT / "tests" / "standins" / "display"
"""Put before a command with a folder, it brings the command a display, whose lock file is in the folder."""


def standin(**environment: object) -> str:
    """``standin(fault="hang@OpenObject")`` sets STANDIN_FAULT, and so on: see `faults` and `__main__`."""
    told = {f"STANDIN_{name.upper()}": str(value) for name, value in environment.items()}
    words = [f"{name}={value}" for name, value in {"PYTHONPATH": str(ROOT), **told}.items()]
    return shlex.join(["/usr/bin/env", *words, sys.executable, "-m", "tests.standins.ai2thor"])
