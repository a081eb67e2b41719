"""Makes the world: in this process in graph mode; in unity mode in its own process, which can be killed."""

from typing import Any

from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.options import Options, read_options
from services.worlds.virtualhome.world import VirtualHome
from services.worlds.world import World

MAKING_SECONDS = 120.0
"""The time for imports from a slow disk."""


def virtualhome(**options: Any) -> World:
    """Makes a world with these `Options`. Raises ValueError for an invalid option or if the package is missing."""
    read = read_options(options)
    if read.mode == "graph":
        return VirtualHome(**options)
    shims.client()
    VirtualHome(**options).close()  # raises here if e.g. a task file is invalid
    return ProcessWorld("virtualhome", "services.worlds.virtualhome.world:VirtualHome", options, deadlines(read))


def deadlines(options: Options) -> Deadlines:
    """Returns deadlines longer than the world's own, which end a hung player and name the call."""
    return Deadlines(
        start=MAKING_SECONDS,
        reset=options.starts * options.start_seconds + 2 * options.reset_seconds + 8 * options.call_seconds,
        step=4 * options.call_seconds,
    )
