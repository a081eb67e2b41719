"""Objects by their names: THOR's types as lower-case words, and which of a scene's objects a text means.

Metadata is read as it comes from the player: one mapping an object, with THOR's own keys.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Thing = Mapping[str, Any]
"""An object's metadata."""

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ID = re.compile(r"\b([A-Z]\w+)(?:\|[\w.+-]+)+")
_PIECES = {"Sliced": "sliced", "Cracked": "cracked"}
"""What an object's pieces are called after the act: AppleSliced, EggCracked."""


@lru_cache(maxsize=1024)
def words(type: str) -> str:
    """A type in words: "CoffeeMachine" is "coffee machine", "AppleSliced" is "sliced apple"."""
    for suffix, adjective in _PIECES.items():
        if type.endswith(suffix) and type != suffix:
            return f"{adjective} {words(type.removesuffix(suffix))}"
    return _CAPITAL.sub(" ", type).lower()


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
    named = by_name(things)
    if same := named.get(name):
        return min(same, key=lambda thing: (not suits(thing), not thing["visible"], thing["distance"]))
    kind, _, number = name.rpartition(" ")
    if number.isdigit() and 1 <= int(number) <= len(named.get(kind, ())):
        return named[kind][int(number) - 1]
    return None
