"""Types of arguments that several commands take."""

import argparse
import os
from pathlib import Path

from runtime.paths import expanded
from runtime.text import is_utf8
from scripts.numbers import shortened


def _why(text: str) -> str:
    try:
        name = os.fsencode(text).decode()
    except UnicodeDecodeError:
        return f"the path {text!r} is not valid UTF-8, so it cannot be stored: rename it"
    return f"this locale cannot encode the path {name!a}: set LC_ALL=C.UTF-8"


def path_type(text: str) -> Path:
    """A path. Expands ``~`` also where the shell does not, as in ``--run=~/x``."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: is a variable not set?")
    if not is_utf8(text):
        raise argparse.ArgumentTypeError(_why(text))
    try:
        path = expanded(text)
        path.resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # name too long, circular links, zero byte
        why = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"the path {shortened(text)} is not valid: {why}") from None
    return path
