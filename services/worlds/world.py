"""What a world is: Gymnasium's signature, plus what following instructions in it needs. See `load_world`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.messages import Task

Frame = NDArray[np.uint8]
"""A picture: height x width x 3, RGB, uint8."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What the actor may know: its first-person view, the high-level actions it could try, and the last refusal.

    ``admissible`` never tells which action is right or whether the goal holds; it is empty where a world leaves the
    actor to find out by itself. ``error`` is what the world said when it refused the last action.
    """

    frame: Frame
    admissible: tuple[str, ...] = ()
    error: str | None = None


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The world's own knowledge of how an episode went. For audit only: it must never reach learning.

    ``satisfied`` are the ids of all tasks whose goal holds now.
    """

    success: bool
    satisfied: tuple[str, ...]


class WorldError(Exception):
    """The simulator failed (died, hung, answered nonsense). The episode is lost; the world may be started again."""


class TaskRefused(WorldError):
    """The world cannot offer the episode its task. The episode is lost; the world is as good as before."""


class World(Protocol):
    """One simulator with one episode at a time. Blocking, and not thread-safe: its caller serialises.

    A world never ends an episode by itself for success: `step` returns terminated only after the action "done",
    truncated only at the step limit. Nothing but `truth` depends on the goal.
    """

    name: str

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        """Starts an episode. The same seed gives the same episode; ``task=None`` draws the task from the seed.

        Raises ValueError where the world cannot offer the task; it can be reset again then.
        """
        ...

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        """Tries an action given as text, e.g. "pick up the apple".

        Returns the observation, terminated and truncated. An action the world cannot parse or refuses changes nothing
        and comes back as `Observation.error`.
        """
        ...

    def third_person(self) -> Frame:
        """The view that shows agent and objects, for the critic."""
        ...

    def truth(self) -> Truth: ...

    def close(self) -> None: ...


class WorldFactory(Protocol):
    """How a world is made from settings; one factory call per simulator instance."""

    def __call__(self, **settings: Any) -> World: ...


SEED_STARTS: Mapping[str, int] = {
    "dev": 100_000_000,
    "dev_judge": 200_000_000,
    "heldout": 500_000_000,
    "heldout_judge": 600_000_000,
    "train": 1_000_000_000,
}
"""The first seed of each split, by default. A split ends where the next one starts."""

_RUN, _ROUND = 10_000_000, 10_000


def seeds(
    split: str, count: int, *, run_seed: int = 0, round: int = 0, starts: Mapping[str, int] = SEED_STARTS
) -> Sequence[int]:
    """Episode seeds of a split, disjoint between splits, runs and rounds.

    ``train`` seeds depend on the run's seed and the round; ``dev`` and ``heldout`` are the same for every run, so that
    all methods and seeds are measured on the same tasks. ``starts`` moves the splits. Raises ValueError for an unknown
    split and for seeds that would reach into another split, run or round.
    """
    if split not in SEED_STARTS:
        raise ValueError(f"unknown split {split!r}: use {', '.join(sorted(SEED_STARTS))}")
    starts = {**SEED_STARTS, **starts}
    start = starts[split]
    if split == "train":
        if count > _ROUND:
            raise ValueError(f"a round has at most {_ROUND} episodes, not {count}")
        if not 0 <= round < _RUN // _ROUND:
            raise ValueError(f"a run has rounds 0 to {_RUN // _ROUND - 1}, not {round}")
        start += run_seed * _RUN + round * _ROUND
    for other, first in starts.items():
        if other != split and first >= starts[split] and first < start + count:
            raise ValueError(
                f"the {count} seeds of {split!r} from {start} on would reach those of {other!r}, which start at {first}"
            )
    return range(start, start + count)
