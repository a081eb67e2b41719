"""Worlds by name."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from services import settings
from services.worlds.world import World

_WORLDS: dict[str, str] = {
    "ai2thor": "services.worlds.ai2thor.world:ai2thor",
    "household": "services.worlds.household.world:Household",
    "virtualhome": "services.worlds.virtualhome.load:virtualhome",
}
"""Where each world's class is. A world is imported when it is asked for: a simulator may be heavy or not installed."""


def options_type(name: str) -> type[msgspec.Struct]:
    """The struct whose fields are the options of a world of this name."""
    return import_module(f"services.worlds.{name}.options").Options


def load_world(world: str | settings.World, **options: Any) -> World:
    """Makes a world from its name and options, or from the settings' section, whose options win over ``options``.

    Raises ValueError for a name or an option there is not.
    """
    if isinstance(world, settings.World):
        world, options = world.name, {**options, **world.options}
    if world not in _WORLDS:
        raise ValueError(f"there is no world {world!r}: use one of {', '.join(sorted(_WORLDS))}")
    module, _, name = _WORLDS[world].partition(":")
    make: Callable[..., World] = getattr(import_module(module), name)
    return make(**options)
