"""Types of arguments that several commands take."""

import argparse
import os
from pathlib import Path

from runtime.paths import expanded


def _why(text: str) -> str:
    try:
        name = os.fsencode(text).decode()
    except UnicodeDecodeError:
        return f"the path {text!r} is not UTF-8, and cannot be written down: rename it"
    return f"this locale has no letters for the path {name!a}: set LC_ALL=C.UTF-8"


def path_type(text: str) -> Path:
    """A path, with ``~`` as the home folder also where the shell leaves it, as in ``--run=~/x``."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: is a variable not set?")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(_why(text)) from None
    return expanded(text)
