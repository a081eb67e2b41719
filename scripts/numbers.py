"""Types of arguments that are numbers."""

import argparse
import math
import re
from collections.abc import Callable

LARGEST = (1 << 63) - 1
"""The largest offset of a log."""
SHOWN = 40
"""Most characters of an invalid argument to show."""


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An argparse type for whole numbers within bounds."""

    def convert(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,19}", text.strip()) and low <= int(text) <= high:
            return int(text)
        bounds = f"at least {low}" if high == LARGEST else f"from {low} to {high}"
        raise argparse.ArgumentTypeError(f"{shortened(text)} is not allowed; it takes a whole number, {bounds}")

    return convert


def positive_number(text: str) -> float:
    """An argparse type for finite numbers above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is not allowed; it takes a finite number over 0")
    return found


def shortened(text: str, most: int = SHOWN) -> str:
    """The text in quotes, truncated if it is long."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
