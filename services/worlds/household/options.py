"""The household's options, validated, and the episodes drawn with them."""

import random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from protocols.messages import Task
from runtime.typed import doc
from services.worlds.household.rules import NAMES, Rules, draw_rules
from services.worlds.household.tasks import Domain, Episode, draw_episode
from services.worlds.household.vocabulary import MAX_FIXTURES, MAX_SMALLS
from services.worlds.options import convert_options

SHIFTS: dict[Domain, float] = {"source": 0.0, "unknown": 0.3}
"""The default visual shift from the source for each domain."""

Rule = bool | Literal["random", "domain"]
"""Whether a rule holds: always or never, drawn for each episode, or as in the domain."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set of the household."""

    # Otherwise the formatter puts each argument of a type on its own line.
    # fmt: off
    domain: Annotated[Domain, doc(
        '"unknown" is the household to learn; "source" is the one that the micro models were pretrained on.'
    )] = "unknown"
    shift: Annotated[Annotated[float, Meta(ge=0, le=1)] | Literal["domain"], doc(
        "How far the looks lie from those of the source household: 0 is the same distribution, 1 the farthest. "
        '"domain" is 0 for the source household and 0.3 for the unknown one.'
    )] = "domain"
    navigate_first: Annotated[Rule, doc(
        'Whether the robot has to find an object before it acts on it. false: it walks there by itself. "random" draws '
        'it for each episode; "domain" takes what the household has (the unknown one: true; the source: drawn).'
    )] = "domain"
    open_first: Annotated[Rule, doc(
        "Whether the robot has to open a container before it takes something out or puts something in. false: the "
        'container opens by itself. "random" and "domain" are as for world.options.navigate_first.'
    )] = "domain"
    hold_to_break: Annotated[Rule, doc(
        'Whether the robot has to hold an object to break it. false: it breaks the object where it lies. "random" and '
        '"domain" are as for world.options.navigate_first.'
    )] = "domain"
    knife_to_slice: Annotated[Rule, doc(
        'Whether the robot has to hold the knife to slice. false: it slices without. "random" and "domain" are as for '
        "world.options.navigate_first."
    )] = "domain"
    n_fixtures: Annotated[int, Meta(ge=3, le=MAX_FIXTURES), doc(
        "Number of pieces of furniture and appliances in a room."
    )] = 4
    n_smalls: Annotated[int, Meta(ge=2, le=MAX_SMALLS), doc(
        "Number of small objects in a room. Those that do not fit are left out."
    )] = 4
    frame: Annotated[int, Meta(ge=32, le=2048), doc(
        "Width and height of the frames.", unit="pixels"
    )] = 128
    max_steps: Annotated[int, Meta(ge=1, le=200), doc(
        "Most actions of an episode. In a run the default is simulator.max_steps, and a higher value has no effect."
    )] = 10
    admissible: Annotated[bool, doc(
        "Whether each observation, and so the actor's prompt, lists the actions that the room's objects allow. Not all "
        "of them succeed."
    )] = False
    # fmt: on

    @property
    def visual_shift(self) -> float:
        return SHIFTS[self.domain] if self.shift == "domain" else self.shift

    def draw(self, seed: int, task: Task | None = None) -> Episode:
        """Returns the episode of a seed under these options. Raises ValueError if the task cannot be offered."""
        episode = draw_episode(seed, self.domain, task=task, n_fixtures=self.n_fixtures, n_smalls=self.n_smalls)
        drawn = draw_rules(random.Random(f"household/rules/{seed}"))
        return replace(episode, rules=Rules(**{name: self._rule(name, drawn, episode.rules) for name in NAMES}))

    def _rule(self, name: str, drawn: Rules, domain: Rules) -> bool:
        wanted: Rule = getattr(self, name)
        if isinstance(wanted, bool):
            return wanted
        return getattr(drawn if wanted == "random" else domain, name)


def read_options(options: dict[str, Any]) -> Options:
    """Converts options by name. Raises ValueError that names the option, the fault and the allowed values."""
    return convert_options(options, Options, "the household")
