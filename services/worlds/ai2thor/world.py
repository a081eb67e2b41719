"""The AI2-THOR world as the mesh uses it: a `Simulator` in a process of its own, with a deadline for every call."""

import importlib.util
from typing import Any

from services.worlds.ai2thor.options import read_options
from services.worlds.process import ProcessWorld

SIMULATOR = "services.worlds.ai2thor.simulator:Simulator"


def ai2thor(**options: Any) -> ProcessWorld:
    """Makes the world; the player starts with the first reset.

    Raises ValueError for an option that cannot be, and where the package is not installed.
    """
    if importlib.util.find_spec("ai2thor") is None:
        raise ValueError("the package ai2thor is not installed; pip install 'ai2thor>=5.0', or selu[thor]")
    return ProcessWorld("ai2thor", SIMULATOR, options, read_options(options).deadlines)
