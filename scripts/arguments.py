"""Types of arguments that several commands take."""

import argparse
from pathlib import Path

from runtime.paths import expanded


def path_type(text: str) -> Path:
    """A path, with ``~`` as the home folder also where the shell leaves it, as in ``--run=~/x``."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: is a variable not set?")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"the path {text!r} is not UTF-8, and cannot be written down: rename it"
        ) from None
    return expanded(text)
