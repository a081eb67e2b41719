"""The result of one check, of this machine or of a run: subject, state and remedy."""

import importlib.metadata
from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """``do`` is the remedy; empty if the state is ok."""

    what: str
    state: State
    found: str
    do: str = ""


def version_of(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
