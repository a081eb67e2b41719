"""Makes worlds by name."""

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
"""Module and factory of each world, imported on request, because a simulator may be large or not installed."""


def options_type(name: str) -> type[msgspec.Struct]:
    """Returns the struct whose fields are the options of the world of this name."""
    return import_module(f"services.worlds.{name}.options").Options


def load_world(world: str | settings.World, **options: Any) -> World:
    """Makes a world from its name and options, or from the settings section, whose options override ``options``.

    Raises ValueError for an unknown name or option.
    """
    if isinstance(world, settings.World):
        world, options = world.name, {**options, **world.options}
    if world not in _WORLDS:
        raise ValueError(f"there is no world {world!r}: use one of {', '.join(sorted(_WORLDS))}")
    module, _, name = _WORLDS[world].partition(":")
    make: Callable[..., World] = getattr(import_module(module), name)
    return make(**options)
