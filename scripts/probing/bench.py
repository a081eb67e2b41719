"""Household episodes that are played and rendered in batches, and a model that answers requests about them."""

import random
from collections.abc import Sequence
from functools import cached_property

import msgspec

from protocols.messages import Task
from scripts.pretraining.questions import Picture as Seen
from scripts.pretraining.questions import picture
from services.actor.prompts import next_action
from services.models.engine import Engine, Generation, Request
from services.worlds.household.actions import DONE, parse_action
from services.worlds.household.expert import expert_action, random_action
from services.worlds.household.options import Options
from services.worlds.household.scene import make_scene
from services.worlds.household.state import State, act
from services.worlds.household.tasks import Episode, holds
from services.worlds.rollout import sampling_seed
from services.worlds.threaded import Picture, encode

CHUNK = 256
"""Most requests in one call of the engine."""


class Moment:
    """One state of an episode, with its rendered views."""

    def __init__(self, episode: Episode, options: Options, state: State, history: tuple[str, ...] = ()) -> None:
        self.episode = episode
        self.state = state
        self.history = history
        self._options = options

    @property
    def task(self) -> Task:
        return self.episode.task

    @property
    def done(self) -> bool:
        """Whether the goal holds, in the world's truth."""
        return holds(self.state, self.task)

    @cached_property
    def third(self) -> Picture:
        scene = make_scene(self.episode, self._options.visual_shift, self._options.frame)
        return encode(scene.third_person(self.state))

    @cached_property
    def first(self) -> Picture:
        scene = make_scene(self.episode, self._options.visual_shift, self._options.frame)
        return encode(scene.first_person(self.state))

    @property
    def seen(self) -> Seen:
        return picture(self.state, self.episode.room, "third")

    def after(self, action: str) -> "Moment":
        parsed = parse_action(action)
        state = act(self.state, self.episode.rules, parsed)[0] if parsed else self.state
        return Moment(self.episode, self._options, state, (*self.history, action))


class Bench:
    """A model, and the initial states of the episodes with these seeds."""

    def __init__(self, engine: Engine, options: Options, seeds: Sequence[int]) -> None:
        self._engine = engine
        self._options = options
        self.starts = [self._start(seed) for seed in seeds]

    def _start(self, seed: int) -> Moment:
        episode = self._options.draw(seed)
        return Moment(episode, self._options, episode.state)

    async def ask(self, requests: Sequence[Request]) -> list[Generation]:
        """Answers, in the order of the requests."""
        answers: list[Generation] = []
        for at in range(0, len(requests), CHUNK):
            answers += await self._engine.generate(requests[at : at + CHUNK])
        return answers

    async def play(self, temperature: float) -> list[Moment]:
        """Plays all episodes with the model, until "done" or the step limit, and returns their final states."""
        now = list(self.starts)
        for step in range(self._options.max_steps):
            live = [at for at, moment in enumerate(now) if moment.history[-1:] != (DONE,)]
            asked = [
                Request(
                    prompt=next_action(now[at].task.instruction, now[at].history), image=now[at].first.png,
                    image_id=now[at].first.digest, temperature=temperature,
                    seed=sampling_seed(f"probe/{now[at].episode.seed}", step),
                )
                for at in live
            ]  # fmt: skip
            for at, said in zip(live, await self.ask(asked), strict=True):
                now[at] = now[at].after(" ".join(said.text.lower().split()))
        return now

    def wander(self, seed: int = 0) -> list[Moment]:
        """Plays all episodes with random actions to the step limit and returns their final states: the chance level."""
        ends: list[Moment] = []
        for moment in self.starts:
            rng = random.Random(f"probe/{seed}/{moment.episode.seed}")
            for _ in range(self._options.max_steps):
                moment = moment.after(random_action(moment.state, rng))
            ends.append(moment)
        return ends

    def demonstrated(self) -> list[tuple[Moment, str]]:
        """For each episode, a random state on the shortest path to its goal, and the correct action there."""
        found: list[tuple[Moment, str]] = []
        for moment in self.starts:
            way: list[tuple[Moment, str]] = []
            for _ in range(self._options.max_steps):
                due = expert_action(moment.state, moment.episode.rules, moment.task)
                way.append((moment, due))
                if due == DONE:
                    break
                moment = moment.after(due)
            found.append(random.Random(f"probe/way/{moment.episode.seed}").choice(way))
        return found


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One measured proportion. ``chance`` is the score without looking at the picture, if it is known."""

    name: str
    hits: int
    n: int
    chance: float | None = None
    note: str = ""
