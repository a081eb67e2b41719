"""The household as a `World`: text actions and drawn frames."""

from typing import Any

from protocols.messages import Task
from services.worlds.household.actions import DONE, PHRASES, parse_action
from services.worlds.household.expert import possible_actions
from services.worlds.household.options import read_options
from services.worlds.household.scene import Scene, make_scene
from services.worlds.household.state import State, act
from services.worlds.household.tasks import Episode, satisfied
from services.worlds.world import Frame, Observation, Truth


class Household:
    """One household that runs one episode at a time. Keyword arguments are those of `Options`.

    Every `step` counts, even with text that is refused. An episode ends with "done" or at the step limit. A step after
    the end or before the first `reset` raises RuntimeError. The constructor raises ValueError for an invalid option.
    """

    name = "household"

    def __init__(self, **options: Any) -> None:
        self._options = read_options(options)
        self._episode: Episode | None = None
        self._scene: Scene | None = None
        self._state: State | None = None
        self._steps = 0
        self._ended = False

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        """Starts the episode of a seed. Raises ValueError if this household cannot offer the task."""
        episode = self._options.draw(seed, task)
        self._scene = make_scene(episode, self._options.visual_shift, self._options.frame)
        self._episode, self._state, self._steps, self._ended = episode, episode.state, 0, False
        return episode.task, self._observe(None)

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        episode, _, state = self._running()
        if self._ended:
            raise RuntimeError("the episode has ended: call reset before the next step")
        self._steps += 1
        done, error = action.strip().lower() == DONE, None
        if not done:
            parsed = parse_action(action)
            if parsed is None:
                error = f"not an action: say {', '.join(PHRASES.values())} and what, or done"
            else:
                self._state, error = act(state, episode.rules, parsed)
        truncated = not done and self._steps >= self._options.max_steps
        self._ended = done or truncated
        return self._observe(error), done, truncated

    def third_person(self) -> Frame:
        _, scene, state = self._running()
        return scene.third_person(state)

    def truth(self) -> Truth:
        episode, _, state = self._running()
        holding = satisfied(state)
        return Truth(success=episode.task.id in holding, satisfied=holding)

    def close(self) -> None:
        self._episode = self._scene = self._state = None

    def _observe(self, error: str | None) -> Observation:
        _, scene, state = self._running()
        admissible = (*possible_actions(state), DONE) if self._options.admissible else ()
        return Observation(frame=scene.first_person(state), admissible=admissible, error=error)

    def _running(self) -> tuple[Episode, Scene, State]:
        if self._episode is None or self._scene is None or self._state is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._episode, self._scene, self._state
