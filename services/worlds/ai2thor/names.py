"""Names of objects: THOR's types as lower-case words, and the type or object of a scene that a name refers to.

Metadata is used as the player returns it: one mapping for each object, with THOR's own keys.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from services.worlds.ai2thor.types import TYPES
from services.worlds.spelling import spaced, spelled

Thing = Mapping[str, Any]
"""An object's metadata."""

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Word boundaries in a type's name, also after an abbreviation: TVStand is TV and Stand."""
_ID = re.compile(r"\b([A-Z]\w+)(?:\|[\w.+-]+)+")
_NUMBERED = re.compile(r"(?P<kind>.*?)[\s_-]*(?P<number>\d+)")
_PIECES = {"Sliced": "sliced", "Cracked": "cracked"}
"""Suffixes of the types of an object's pieces (AppleSliced, EggCracked), and their words."""


@lru_cache(maxsize=1024)
def words(type: str) -> str:
    """Returns a type in words: "CoffeeMachine" gives "coffee machine", "TVStand" gives "tv stand"."""
    for suffix, adjective in _PIECES.items():
        if type.endswith(suffix) and type != suffix:
            return f"{adjective} {words(type.removesuffix(suffix))}"
    return _CAPITAL.sub(" ", type).lower()


_TYPES: dict[str, str] = {spelled(form): type for type in TYPES for form in (type, words(type))}


def type_of(name: str) -> str | None:
    """Returns the type that a name in any spelling refers to, including "apple sliced"; None if THOR has none."""
    return _TYPES.get(spelled(name))


@lru_cache(maxsize=1024)
def called(name: str) -> str:
    """Returns the canonical name of an object's name: "TVStand", "tv_stand" and "tvstand" give "tv stand"."""
    type = type_of(name) or name.strip()
    return words(type) if re.fullmatch(r"[A-Za-z0-9]+", type) else spaced(type)


def readable(text: str) -> str:
    """Returns a message of the player with object ids replaced by words."""
    return " ".join(_ID.sub(lambda found: words(found[1]), text).split())


def by_name(things: Iterable[Thing]) -> dict[str, list[Thing]]:
    """Groups all objects by name; objects with one name are ordered by id."""
    named: dict[str, list[Thing]] = defaultdict(list)
    for thing in things:
        named[words(thing["objectType"])].append(thing)
    for same in named.values():
        if len(same) > 1:
            same.sort(key=lambda thing: thing["objectId"])
    return named


def meant(things: Sequence[Thing], name: str, suits: Callable[[Thing], bool] = lambda _: True) -> Thing | None:
    """Returns the object that a name refers to: "mug 2" is the second of its kind, "mug" the best one. None if absent.

    The best object suits the act, then is visible, then is the nearest; ties are broken by id.
    """
    if same := named(things, name):
        return min(same, key=lambda thing: (not suits(thing), not thing["visible"], thing["distance"]))
    if numbered := _NUMBERED.fullmatch(name.strip()):
        same = named(things, numbered["kind"])
        if 1 <= int(numbered["number"]) <= len(same):
            return same[int(numbered["number"]) - 1]
    return None


def named(things: Iterable[Thing], name: str) -> list[Thing]:
    """Returns the objects with a name in any spelling, ordered by id."""
    wanted = spelled(called(name))
    same = [thing for thing in things if spelled(words(thing["objectType"])) == wanted]
    return sorted(same, key=lambda thing: thing["objectId"])
