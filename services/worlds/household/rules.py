"""The preconditions that hold in a household: dynamics that an actor must learn."""

import random
from collections.abc import Mapping

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Each rule requires an act before another one. Without the rule, the world does the first act automatically.

    ``navigate_first``: find an object before acting on it. ``open_first``: open a container before taking from it or
    putting into it. ``hold_to_break``: hold the object to break. ``knife_to_slice``: hold the knife to slice.
    """

    navigate_first: bool = True
    open_first: bool = True
    hold_to_break: bool = True
    knife_to_slice: bool = True


NAMES = Rules.__struct_fields__
UNKNOWN = Rules()
"""The unknown household's rules: each is the value that is rarer in the source or costs one more act."""

SOURCE_SHARES: Mapping[str, float] = {
    "navigate_first": 0.65,
    "open_first": 0.4,
    "hold_to_break": 0.3,
    "knife_to_slice": 0.3,
}
"""The share of source episodes in which each rule holds."""


def draw_rules(rng: random.Random, shares: Mapping[str, float] = SOURCE_SHARES) -> Rules:
    return Rules(**{name: rng.random() < shares[name] for name in NAMES})
