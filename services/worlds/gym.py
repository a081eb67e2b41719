"""Wraps any world as a Gymnasium environment: text actions, first-person frames, no reward.

The ground truth is not exposed: rewards are 0, only "done" and the step limit end an episode, and infos hold only the
actor's inputs.
"""

import string
from typing import Any, ClassVar, SupportsFloat

import gymnasium
import msgspec
import numpy as np
from gymnasium import spaces

from protocols.messages import Task
from services.worlds.load import load_world
from services.worlds.returned import WrongReturn, as_frame, as_reset, as_step, name_of
from services.worlds.world import Frame, Observation, World

ACTION_CHARS = 64
"""The most characters of an action's text."""
ID = "selu/World-v0"


class WorldEnv(gymnasium.Env[Frame, str]):
    """A Gymnasium environment on a world; `close` closes the world.

    Observations are the world's frames (height x width x 3, uint8). Infos have ``instruction``, ``admissible`` and
    ``error``. ``render`` returns the third-person view. `reset` takes two options: ``episode``, the world's seed
    (otherwise drawn from the environment's generator), and ``task``, a `Task` or its fields.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 2}  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, world: World, *, render_mode: str | None = "rgb_array") -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}: use 'rgb_array' or None")
        self.world, self.render_mode = world, render_mode
        self.action_space = spaces.Text(ACTION_CHARS, charset=string.ascii_letters + string.digits + " ")
        _, first = as_reset(world.reset(None, 0), world)  # a world reports its frame size only through a frame
        self.observation_space = spaces.Box(0, 255, first.frame.shape, np.uint8)
        self._instruction = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        wanted = options.get("task")
        task = None if wanted is None else wanted if isinstance(wanted, Task) else msgspec.convert(wanted, Task)
        episode = options.get("episode")
        episode = int(self.np_random.integers(1 << 31)) if episode is None else int(episode)
        drawn, seen = as_reset(self.world.reset(task, episode), self.world)
        self._instruction = drawn.instruction
        return self._frame(seen, "reset"), self._info(seen)

    def step(self, action: str) -> tuple[Frame, SupportsFloat, bool, bool, dict[str, Any]]:
        seen, terminated, truncated = as_step(self.world.step(action), self.world)
        return self._frame(seen, "step"), 0.0, terminated, truncated, self._info(seen)

    def render(self) -> Frame | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return as_frame(self.world.third_person(), self.world, "third_person") if self.render_mode else None

    def close(self) -> None:
        self.world.close()

    def _frame(self, seen: Observation, where: str) -> Frame:
        """Returns the frame. Raises WrongReturn if its shape is not that of the observation space."""
        wanted = self.observation_space.shape
        if seen.frame.shape != wanted:
            sizes = ["x".join(map(str, shape)) for shape in (seen.frame.shape, wanted or ())]
            raise WrongReturn(
                f"the world {name_of(self.world)!r} returned a frame of {sizes[0]} from {where}, and its first was "
                f"{sizes[1]}: the observations of an environment have one size"
            )
        return seen.frame

    def _info(self, seen: Observation) -> dict[str, Any]:
        return {"instruction": self._instruction, "admissible": seen.admissible, "error": seen.error}


def make(world: str = "household", render_mode: str | None = "rgb_array", **options: Any) -> WorldEnv:
    """Makes the environment of a world from the world's name and options."""
    return WorldEnv(load_world(world, **options), render_mode=render_mode)


def register() -> None:
    """Registers worlds with `gymnasium.make` as "selu/World-v0"."""
    if ID not in gymnasium.registry:
        gymnasium.register(ID, entry_point=make)
