"""The interface of a world: Gymnasium's reset and step, and methods for instruction following. See `load_world`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.messages import Task

Frame = NDArray[np.uint8]
"""A picture: height x width x 3, RGB, uint8."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What the actor receives: its first-person view, the admissible actions, and the refusal of its last action.

    ``admissible`` never reveals which action is right or whether the goal holds. It is empty if the world lists no
    actions. ``error`` is the world's text for the refusal of the last action.
    """

    frame: Frame
    admissible: tuple[str, ...] = ()
    error: str | None = None


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The simulator's ground truth about an episode. Only for audits: it must never reach training.

    ``satisfied`` are the ids of all tasks whose goal holds now.
    """

    success: bool
    satisfied: tuple[str, ...]


class WorldError(Exception):
    """The simulator failed: it crashed, hung or returned invalid data. The episode is lost; a reset restarts the
    world."""


class TaskRefused(WorldError):
    """The world cannot offer the episode its task. The episode is lost, but the world still works."""


class World(Protocol):
    """One simulator that runs one episode at a time. Blocking and not thread-safe: the caller serialises the calls.

    Success never ends an episode: `step` returns terminated only after the action "done", and truncated only at the
    step limit. Nothing but `truth` depends on the goal.
    """

    name: str

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        """Starts an episode. The same seed gives the same episode; ``task=None`` draws the task from the seed.

        Raises ValueError if the world cannot offer the task; the world can be reset again afterwards.
        """
        ...

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        """Runs an action given as text, e.g. "pick up the apple".

        Returns the observation, terminated and truncated. An action that the world cannot parse or refuses changes
        nothing, and the reason is in `Observation.error`.
        """
        ...

    def third_person(self) -> Frame:
        """Returns the view that shows the agent and the objects, for the critic."""
        ...

    def truth(self) -> Truth:
        """Returns the ground truth about the current state. Only audits and measurements may use it."""
        ...

    def close(self) -> None: ...


class WorldFactory(Protocol):
    """Makes a world from its options; called once for each simulator."""

    def __call__(self, **settings: Any) -> World: ...


SEED_STARTS: Mapping[str, int] = {
    "dev": 100_000_000,
    "dev_judge": 200_000_000,
    "heldout": 500_000_000,
    "heldout_judge": 600_000_000,
    "train": 1_000_000_000,
}
"""The default first seed of each split. A split ends where the next one starts."""

_RUN, _ROUND = 10_000_000, 10_000


def seeds(
    split: str, count: int, *, run_seed: int = 0, round: int = 0, starts: Mapping[str, int] = SEED_STARTS
) -> Sequence[int]:
    """Returns the episode seeds of a split, disjoint between splits, runs and rounds.

    ``train`` seeds depend on the run's seed and the round. ``dev`` and ``heldout`` seeds are the same for every run, so
    all methods and seeds are measured on the same tasks. ``starts`` overrides the first seeds. Raises ValueError for an
    unknown split and for seeds that would overlap another split, run or round.
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
