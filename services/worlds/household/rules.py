"""Which preconditions hold in a household: the dynamics that an actor new to it has to find out."""

import random
from collections.abc import Mapping

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Each rule demands an act of its own before another; where it does not hold, the world does that by itself.

    ``navigate_first``: find a thing before acting on it. ``open_first``: open a container before taking from it or
    putting into it. ``hold_to_break``: hold what is to break. ``knife_to_slice``: hold the knife to slice.
    """

    navigate_first: bool = True
    open_first: bool = True
    hold_to_break: bool = True
    knife_to_slice: bool = True


NAMES = Rules.__struct_fields__
UNKNOWN = Rules()
"""The unknown household's rules: in each, the option that is rarer in the source or costs an act more."""

SOURCE_SHARES: Mapping[str, float] = {
    "navigate_first": 0.65,
    "open_first": 0.4,
    "hold_to_break": 0.3,
    "knife_to_slice": 0.3,
}
"""Share of source episodes in which each rule holds."""


def draw_rules(rng: random.Random, shares: Mapping[str, float] = SOURCE_SHARES) -> Rules:
    return Rules(**{name: rng.random() < shares[name] for name in NAMES})
