"""Makes the world: in this process in graph mode, with the Unity player in a process of its own that can be killed."""

from typing import Any

from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.options import Options, read_options
from services.worlds.virtualhome.world import VirtualHome
from services.worlds.world import World

MAKING_SECONDS = 120.0
"""For importing everything on a slow disk."""


def virtualhome(**options: Any) -> World:
    """A world of these `Options`. Raises ValueError for one that cannot be, or where the package is missing."""
    read = read_options(options)
    if read.mode == "graph":
        return VirtualHome(**options)
    shims.client()
    VirtualHome(**options).close()  # so that a task file or the like is refused here
    return ProcessWorld("virtualhome", "services.worlds.virtualhome.world:VirtualHome", options, deadlines(read))


def deadlines(options: Options) -> Deadlines:
    """Wider than the world's own, which end a player that hangs and say in which call."""
    return Deadlines(
        start=MAKING_SECONDS,
        reset=options.starts * options.start_seconds + 2 * options.reset_seconds + 8 * options.call_seconds,
        step=4 * options.call_seconds,
    )
