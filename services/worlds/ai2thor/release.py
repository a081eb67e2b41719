"""Finds the Unity players that the ai2thor package has downloaded."""

import os
from pathlib import Path

PLATFORMS = ("CloudRendering", "Linux64")


def fetched(platform: str, home: Path | None = None) -> Path | None:
    """Returns the player program for the installed package's build; None if it is not downloaded."""
    from ai2thor._builds import COMMIT_ID  # this module alone imports nothing else of the package

    folder = (home or Path.home()) / ".ai2thor" / "releases" / f"thor-{platform}-{COMMIT_ID}"
    program = folder / folder.name
    return program if os.access(program, os.X_OK) else None
