"""AI2-THOR as a blocking `World`, with the player as a child process. It runs in its own process: see `world`."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from protocols.messages import Task
from services.worlds.ai2thor.actions import ACTS, DONE, Action, admissible, parse_action
from services.worlds.ai2thor.camera import placed
from services.worlds.ai2thor.names import Thing, called, meant, words
from services.worlds.ai2thor.navigation import Spot, find, reachable
from services.worlds.ai2thor.options import Options, read_options, scenes_of
from services.worlds.ai2thor.player import Player, Refusal
from services.worlds.ai2thor.tasks import choose, draw_tasks, lacks, satisfied
from services.worlds.options import task_id
from services.worlds.spelling import did_you_mean
from services.worlds.world import Frame, Observation, Truth

SCENES_TRIED = 12
"""The most scenes that are loaded to find one that offers the episode a task."""


class Simulator:
    """One player that runs one episode at a time. Keyword arguments are those of `Options`; making it starts the
    player.

    Every `step` counts, even with text that is refused. An episode ends with "done" or at the step limit. A step after
    the end or before the first `reset` raises RuntimeError. All methods raise `WorldError` if the player failed.
    """

    name = "ai2thor"
    player: Player

    def __init__(self, **options: Any) -> None:
        self._options: Options = read_options(options)
        self._written = self._options.written_tasks
        self._scenes = self._options.scene_names
        self.player = Player(self._options)
        self._task: Task | None = None
        self._spots: Sequence[Spot] = ()
        self._last: str | None = None
        self._at: Spot | None = None
        self._steps = 0
        self._ended = True

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        """Starts the episode of a seed. Raises ValueError if no scene offers the task."""
        self._task = None
        rng = random.Random(f"ai2thor/{seed}")
        self._task = self._begin(task, rng)
        self._place(rng)
        self._last, self._at, self._steps, self._ended = None, None, 0, False
        return self._task, self._observe(None)

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        if self._ended:
            raise RuntimeError("no episode is running: call reset before the next step")
        self._steps += 1
        done, error = action.strip().lower() == DONE, None
        if not done:
            parsed = parse_action(action)
            if parsed is None:
                error = f"not an action: say {', '.join(act.phrase for act in ACTS.values())} and what, or done"
            else:
                try:
                    self._act(parsed)
                except Refusal as refusal:
                    error = str(refusal)
        truncated = not done and self._steps >= self._options.max_steps
        self._ended = done or truncated
        return self._observe(error), done, truncated

    def third_person(self) -> Frame:
        """Shows the agent with the object that it last acted on, independently of the goal."""
        self._running()
        options, thing = self._options, self.player.thing(self._last or "")
        if thing is not None:
            # If the object broke into pieces and is gone, its last position is still used.
            self._at = None if thing["isPickedUp"] else thing["position"]
        at = self._at
        pose = placed(self.player.pose, at, self._spots, where=options.camera, fov=options.camera_fov)
        return self.player.view(pose, options.camera_fov)

    def truth(self) -> Truth:
        holding = satisfied(self.player.things)
        return Truth(success=self._running().id in holding, satisfied=holding)

    def close(self) -> None:
        self._task, self._ended = None, True
        self.player.close()

    # -- the start of an episode

    def _begin(self, wanted: Task | None, rng: random.Random) -> Task:
        """Loads a scene that offers the task; without a task, a scene that offers any."""
        if wanted is None and self._written:
            written = rng.choice(self._written)
            scenes = scenes_of(str(written.scene)) if written.scene else self._scenes
            return self._offered(written.task, self._drawn(rng, scenes), rng)
        if wanted is not None:
            return self._offered(wanted, self._drawn(rng, self._scenes), rng)
        options = self._options
        for scene in (scenes := self._drawn(rng, self._scenes)):
            self._load(scene, rng)
            things = self.player.things
            tasks = draw_tasks(things, scene, options.verb_names, options.objects_per_verb, options.task_seed)
            if task := choose(tasks, satisfied(things), rng):
                return task
        raise ValueError(f"none of {', '.join(scenes)} offers a task for {', '.join(options.verb_names)}")

    def _offered(self, task: Task, scenes: Sequence[str], rng: random.Random) -> Task:
        """Returns the task with this world's object names. Raises ValueError if no scene has the objects it needs."""
        target = called(task.target) if task.target else None
        task = msgspec.structs.replace(
            task, id=task_id(task.verb, called(task.object), target), object=called(task.object), target=target
        )
        missing, there = "", set[str]()
        for scene in scenes:
            self._load(scene, rng)
            things = self.player.things
            missing = lacks(things, task)
            if not missing:
                return task
            there.update(words(thing["objectType"]) for thing in things)
        why = f"no {missing} for it" + ("" if missing in there else did_you_mean(missing, there))
        raise ValueError(f"{task.id!r} cannot be done in any of {', '.join(scenes)}: there is {why}")

    def _drawn(self, rng: random.Random, scenes: Sequence[str]) -> list[str]:
        return rng.sample(scenes, min(SCENES_TRIED, len(scenes)))

    def _load(self, scene: str, rng: random.Random) -> None:
        self.player.reset(scene)
        if self._options.shuffle:
            with suppress(Refusal):  # then objects keep the scene's positions
                self.player.do(
                    "InitialRandomSpawn", randomSeed=rng.randrange(1 << 30), forceVisible=False,
                    numPlacementAttempts=5, placeStationary=True,
                )  # fmt: skip

    def _place(self, rng: random.Random) -> None:
        self._spots = reachable(self.player)
        if self._options.start == "random" and self._spots:
            spot = rng.choice(self._spots)
            yaw = float(rng.choice((0, 90, 180, 270)))
            try:
                self.player.teleport({**spot, "rotation": yaw, "horizon": 0.0, "standing": True})
            except Refusal:
                return  # keep the scene's initial pose

    # -- actions

    def _act(self, action: Action) -> None:
        """Runs one action of the actor. Raises Refusal."""
        player, act = self.player, ACTS[action.act]
        handed = action.act in ("put", "drop")
        thing = self._meant(action.object, _held if handed else act.suits)
        self._last, self._at = thing["objectId"], thing["position"]
        if action.act == "find":
            find(player, thing, self._spots)
        elif handed and not thing["isPickedUp"]:
            raise Refusal(f"the {words(thing['objectType'])} is not in the hand")
        elif action.target is not None:
            player.do("PutObject", objectId=self._meant(action.target, _receptive)["objectId"])
        elif action.act == "drop":
            player.do("DropHandObject")
        else:
            says = {**act.says, **({"fillLiquid": action.liquid} if action.liquid else {})}
            player.do(act.action, objectId=thing["objectId"], **says)

    def _meant(self, name: str, suits: Callable[[Thing], bool]) -> Thing:
        thing = meant(self.player.things, name, suits)
        if thing is None:
            raise Refusal(f"there is no {name} here")
        return thing

    def _observe(self, error: str | None) -> Observation:
        listed = admissible(self.player.things) if self._options.admissible else ()
        return Observation(frame=self.player.frame, admissible=listed, error=error)

    def _running(self) -> Task:
        if self._task is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._task


def _held(thing: Thing) -> bool:
    return thing["isPickedUp"]


def _receptive(thing: Thing) -> bool:
    return thing["receptacle"] and (thing["isOpen"] or not thing["openable"])
