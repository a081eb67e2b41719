"""Where the ai2thor package keeps the Unity players that it has fetched."""

import os
from pathlib import Path

PLATFORMS = ("CloudRendering", "Linux64")


def fetched(platform: str, home: Path | None = None) -> Path | None:
    """The program of the release that the installed package was built for, or None where it is not there yet."""
    from ai2thor._builds import COMMIT_ID  # alone: it draws nothing else in

    folder = (home or Path.home()) / ".ai2thor" / "releases" / f"thor-{platform}-{COMMIT_ID}"
    program = folder / folder.name
    return program if os.access(program, os.X_OK) else None
