"""One thing that was looked at, on this machine or in a run: what it is, how it stands, and what to do about it."""

import importlib.metadata
from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """``do`` is empty where all is well."""

    what: str
    state: State
    found: str
    do: str = ""


def version_of(package: str) -> str | None:
    """The installed version of a package, None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
