"""Paths as people give them, and the error of a run folder."""

import os
from pathlib import Path


class RunFolderError(Exception):
    """A run folder that cannot be used as asked. The text says which, why, and what to do."""


def expanded(text: str | Path) -> Path:
    """A path with ``~`` or ``~name`` at its beginning as the home folder; where there is no such user, as it is
    written."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path's own raises for a user who does not exist


def given_path(text: str | Path) -> Path:
    """A path from a command line or a setting, `expanded` and absolute. Links and ``..`` stay: what a link leads to may
    change."""
    return expanded(text).absolute()


def shown(path: Path) -> str:
    """A path as text that can be written down: in UTF-8, whatever the locale, with escapes for other bytes."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def is_file(path: Path) -> bool:
    """Whether a file is there that can be read as one, a pipe too. False for what can be no path at all."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False
