"""The AI2-THOR world as the mesh uses it: a `Simulator` in a process of its own, with a deadline for every call."""

from typing import Any

from services.worlds.ai2thor.options import read_options
from services.worlds.process import ProcessWorld

SIMULATOR = "services.worlds.ai2thor.simulator:Simulator"


def ai2thor(**options: Any) -> ProcessWorld:
    """Makes the world; the player starts with the first reset. Raises ValueError for an option that cannot be."""
    return ProcessWorld("ai2thor", SIMULATOR, options, read_options(options).deadlines)
