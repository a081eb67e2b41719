"""Objects by their names: THOR's types as lower-case words, and which type or object of a scene a text means.

Metadata is read as it comes from the player: one mapping an object, with THOR's own keys.
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
"""Where a word begins in a type: also after an abbreviation, so that TVStand is TV and Stand."""
_ID = re.compile(r"\b([A-Z]\w+)(?:\|[\w.+-]+)+")
_NUMBERED = re.compile(r"(?P<kind>.*?)[\s_-]*(?P<number>\d+)")
_PIECES = {"Sliced": "sliced", "Cracked": "cracked"}
"""What an object's pieces are called after the act: AppleSliced, EggCracked."""


@lru_cache(maxsize=1024)
def words(type: str) -> str:
    """A type in words: "CoffeeMachine" is "coffee machine", "TVStand" "tv stand", "AppleSliced" "sliced apple"."""
    for suffix, adjective in _PIECES.items():
        if type.endswith(suffix) and type != suffix:
            return f"{adjective} {words(type.removesuffix(suffix))}"
    return _CAPITAL.sub(" ", type).lower()


_TYPES: dict[str, str] = {spelled(form): type for type in TYPES for form in (type, words(type))}


def type_of(name: str) -> str | None:
    """The type that a name means however it is written, also that of "apple sliced"; None where THOR has none."""
    return _TYPES.get(spelled(name))


@lru_cache(maxsize=1024)
def called(name: str) -> str:
    """The one name of what a person or an actor names: "TVStand", "tv_stand" and "tvstand" are the "tv stand"."""
    type = type_of(name) or name.strip()
    return words(type) if re.fullmatch(r"[A-Za-z0-9]+", type) else spaced(type)


def readable(text: str) -> str:
    """A message of the player with its object ids turned into words."""
    return " ".join(_ID.sub(lambda found: words(found[1]), text).split())


def by_name(things: Iterable[Thing]) -> dict[str, list[Thing]]:
    """All objects under their names, those of a name in the order of their ids."""
    named: dict[str, list[Thing]] = defaultdict(list)
    for thing in things:
        named[words(thing["objectType"])].append(thing)
    for same in named.values():
        if len(same) > 1:
            same.sort(key=lambda thing: thing["objectId"])
    return named


def meant(things: Sequence[Thing], name: str, suits: Callable[[Thing], bool] = lambda _: True) -> Thing | None:
    """The object a name means: "mug 2" is the second of its kind; "mug" the best of them, None where there is none.

    The best suits the act, is seen, and is the nearest of those; equal ones are told apart by their ids.
    """
    if same := named(things, name):
        return min(same, key=lambda thing: (not suits(thing), not thing["visible"], thing["distance"]))
    if numbered := _NUMBERED.fullmatch(name.strip()):
        same = named(things, numbered["kind"])
        if 1 <= int(numbered["number"]) <= len(same):
            return same[int(numbered["number"]) - 1]
    return None


def named(things: Iterable[Thing], name: str) -> list[Thing]:
    """The objects of one name, however that is written, in the order of their ids."""
    wanted = spelled(called(name))
    same = [thing for thing in things if spelled(words(thing["objectType"])) == wanted]
    return sorted(same, key=lambda thing: thing["objectId"])
