"""The AI2-THOR world of the mesh: a `Simulator` in its own process, with a deadline for every call."""

import importlib.util
from typing import Any

from services.worlds.ai2thor.options import Options, read_options
from services.worlds.ai2thor.release import fetched
from services.worlds.process import Deadlines, ProcessWorld

SIMULATOR = "services.worlds.ai2thor.simulator:Simulator"

MAKING_SECONDS = 60.0
"""The time for imports from a slow disk."""
FETCH_SECONDS = 3600.0
"""The time to download a player of about a gigabyte; concurrent worlds wait for the first download."""


def ai2thor(**options: Any) -> ProcessWorld:
    """Makes the world; the player starts with the first reset.

    Raises ValueError for an invalid option, and if the package is not installed.
    """
    if importlib.util.find_spec("ai2thor") is None:
        raise ValueError("the package ai2thor is not installed; pip install 'ai2thor>=5.0', or selu[thor]")
    return ProcessWorld("ai2thor", SIMULATOR, options, deadlines(read_options(options)))


def deadlines(options: Options) -> Deadlines:
    """Returns deadlines. The start's is longer than the simulator's own, whose error text says more."""
    there = options.executable or fetched(options.platform)
    return Deadlines(
        start=options.start_seconds + (MAKING_SECONDS if there else FETCH_SECONDS), reset=options.reset_seconds,
        step=options.step_seconds,
    )  # fmt: skip
