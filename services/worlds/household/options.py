"""What can be set of the household, validated, and the episodes it draws with that."""

import random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from protocols.messages import Task
from services.worlds.household.rules import NAMES, Rules, draw_rules
from services.worlds.household.tasks import Domain, Episode, draw_episode
from services.worlds.household.vocabulary import MAX_FIXTURES, MAX_SMALLS
from services.worlds.options import convert_options

SHIFTS: dict[Domain, float] = {"source": 0.0, "unknown": 0.3}
"""How far each domain looks from the source, unless set."""

Rule = bool | Literal["random", "domain"]
"""Whether a rule holds: always or never, drawn for each episode, or as the domain has it."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``domain`` "unknown" is the household to be learned, "source" the one a base model knows.

    ``shift``: how far its looks lie from the source's, 0..1, or "domain". The four rules are those of `Rules`.
    ``n_fixtures`` and ``n_smalls``: how much stands and lies in a room (a few small things fewer where they do not
    fit). ``frame``: pixels along a frame's side. ``max_steps``: when an episode is truncated. ``admissible``: list
    the acts that the things of the room allow, right or wrong, in each observation.
    """

    domain: Domain = "unknown"
    shift: Annotated[float, Meta(ge=0, le=1)] | Literal["domain"] = "domain"
    navigate_first: Rule = "domain"
    open_first: Rule = "domain"
    hold_to_break: Rule = "domain"
    knife_to_slice: Rule = "domain"
    n_fixtures: Annotated[int, Meta(ge=3, le=MAX_FIXTURES)] = 4
    n_smalls: Annotated[int, Meta(ge=2, le=MAX_SMALLS)] = 4
    frame: Annotated[int, Meta(ge=32, le=2048)] = 128
    max_steps: Annotated[int, Meta(ge=1, le=200)] = 10
    admissible: bool = False

    @property
    def visual_shift(self) -> float:
        return SHIFTS[self.domain] if self.shift == "domain" else self.shift

    def draw(self, seed: int, task: Task | None = None) -> Episode:
        """The episode of a seed under these options. Raises ValueError where the task cannot be had."""
        episode = draw_episode(seed, self.domain, task=task, n_fixtures=self.n_fixtures, n_smalls=self.n_smalls)
        drawn = draw_rules(random.Random(f"household/rules/{seed}"))
        return replace(episode, rules=Rules(**{name: self._rule(name, drawn, episode.rules) for name in NAMES}))

    def _rule(self, name: str, drawn: Rules, domain: Rules) -> bool:
        wanted: Rule = getattr(self, name)
        if isinstance(wanted, bool):
            return wanted
        return getattr(drawn if wanted == "random" else domain, name)


def read_options(options: dict[str, Any]) -> Options:
    """The options given by name. Raises ValueError that names the option, what is wrong and what there is."""
    return convert_options(options, Options, "the household")
