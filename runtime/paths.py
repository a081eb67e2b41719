"""Paths from command lines and settings, and the error of run folders."""

import os
from pathlib import Path


class RunFolderError(Exception):
    """A run folder cannot be used. The text names the folder, the reason and the remedy."""


def expanded(text: str | Path) -> Path:
    """Returns a path with a leading ``~`` or ``~name`` replaced by the home folder, unchanged if there is no such
    user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path's own raises for a user who does not exist


def given_path(text: str | Path) -> Path:
    """Returns a path from a command line or a setting, `expanded` and absolute. Links and ``..`` are not resolved,
    because a link's target may change."""
    return expanded(text).absolute()


def shown(path: Path) -> str:
    """Returns a path as text in UTF-8, independent of the locale, with escapes for other bytes."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def is_file(path: Path) -> bool:
    """Returns whether a path exists and is not a folder; pipes count as files. False for an invalid path."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False
