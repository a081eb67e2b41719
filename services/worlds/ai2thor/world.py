"""The AI2-THOR world as the mesh uses it: a `Simulator` in a process of its own, with a deadline for every call."""

import importlib.util
from typing import Any

from services.worlds.ai2thor.options import Options, read_options
from services.worlds.ai2thor.release import fetched
from services.worlds.process import Deadlines, ProcessWorld

SIMULATOR = "services.worlds.ai2thor.simulator:Simulator"

MAKING_SECONDS = 60.0
"""For importing everything on a slow disk."""
FETCH_SECONDS = 3600.0
"""How long the package may take to fetch a player, which is about a gigabyte; the others wait for the first."""


def ai2thor(**options: Any) -> ProcessWorld:
    """Makes the world; the player starts with the first reset.

    Raises ValueError for an option that cannot be, and where the package is not installed.
    """
    if importlib.util.find_spec("ai2thor") is None:
        raise ValueError("the package ai2thor is not installed; pip install 'ai2thor>=5.0', or selu[thor]")
    return ProcessWorld("ai2thor", SIMULATOR, options, deadlines(read_options(options)))


def deadlines(options: Options) -> Deadlines:
    """Wider at the start than the simulator's own, which ends a player that hangs and says what to do."""
    there = options.executable or fetched(options.platform)
    return Deadlines(
        start=options.start_seconds + (MAKING_SECONDS if there else FETCH_SECONDS), reset=options.reset_seconds,
        step=options.step_seconds,
    )  # fmt: skip
