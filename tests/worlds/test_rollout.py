"""One episode between a world and an actor: what is recorded, when it ends, and how it fails."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import numpy as np
import pytest

from protocols.codec import digest
from protocols.errors import DeadlineExceeded, RemoteError, Unavailable
from protocols.messages import Act, Action, Message, Step, Task
from services.worlds.rollout import Pilot, Rollout, RolloutFailed, play
from services.worlds.threaded import ThreadedWorld, encode
from services.worlds.world import Frame, Observation, Truth, WorldError
from tests.builders import task

pytestmark = pytest.mark.anyio


class Corridor:
    """A world whose view changes with every "forward". It never ends by itself before its limit."""

    name = "corridor"

    def __init__(self, limit: int = 9) -> None:
        self.limit, self.at, self.taken = limit, 0, 0
        self.closed = False

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        self.at, self.taken = seed % 7, 0
        return task or TASK, self._observe(None)

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        self.taken += 1
        error = None
        if action == "forward":
            self.at += 1
        elif action != "done":
            error = f"what is {action}?"
        return self._observe(error), action == "done", self.taken >= self.limit

    def third_person(self) -> Frame:
        return np.full((4, 4, 3), 200 + self.at, np.uint8)

    def truth(self) -> Truth:
        return Truth(success=self.at > 2, satisfied=("walk",) if self.at > 2 else ())

    def close(self) -> None:
        self.closed = True

    def _observe(self, error: str | None) -> Observation:
        return Observation(frame=np.full((4, 4, 3), self.at, np.uint8), admissible=("forward", "done"), error=error)


TASK = task("open", "door")


class Actor:
    """A mesh with nothing but an actor that says what it was told to, and a blob store."""

    def __init__(self, *words: str | Exception, version: int = 1) -> None:
        self.words = list(words)
        self.version = version
        self.acts: list[Act] = []
        self.blobs: list[bytes] = []

    async def call(self, method: str, request: Message, *, timeout: float) -> Any:
        assert method == "act"
        assert isinstance(request, Act)
        self.acts.append(request)
        word = self.words.pop(0) if self.words else "forward"
        if isinstance(word, Exception):
            raise word
        return Action(action=word, version=self.version)

    async def put_blob(self, data: bytes) -> str:
        self.blobs.append(data)
        return digest(data)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.patience.PAUSE_SECONDS", 0.0)


def threaded(make: Callable[[], Any] = Corridor, seconds: float = 5.0) -> ThreadedWorld:
    return ThreadedWorld(make, seconds=seconds, limiter=anyio.CapacityLimiter(2))


async def run(
    actor: Actor, world: ThreadedWorld | None = None, *, steps: int = 5, seed: int = 0,
    counts: Counter[str] | None = None, **piloted: Any,
) -> Rollout:  # fmt: skip
    pilot = Pilot(
        version=1, temperature=1.0, seed_of=lambda step: 100 + step, max_steps=steps, call_seconds=1.0, **piloted
    )  # fmt: skip
    with anyio.fail_after(5):
        return await play(
            actor, world or threaded(), episode="e", task=None, seed=seed, pilot=pilot,
            counts=Counter() if counts is None else counts,
        )  # fmt: skip


async def test_an_episode_ends_by_the_actors_own_done() -> None:
    actor = Actor("Forward", " jump  HIGH ", "done")
    rollout = await run(actor)
    assert rollout.ended == "done"
    assert [step.action for step in rollout.steps] == ["forward", "jump high", "done"]
    assert [step.error for step in rollout.steps] == [None, "what is jump high?", None]
    assert rollout.task == TASK
    assert rollout.truth == Truth(success=False, satisfied=())


async def test_success_does_not_end_an_episode_but_the_limit_does() -> None:
    rollout = await run(Actor(), steps=5)
    assert (rollout.ended, len(rollout.steps)) == ("limit", 5)
    assert rollout.truth.success
    worlds_own = await run(Actor(), threaded(lambda: Corridor(limit=3)))
    assert (worlds_own.ended, len(worlds_own.steps)) == ("limit", 3)


async def test_each_action_is_chosen_from_what_was_seen_and_done_before_it() -> None:
    actor = Actor("forward", "jump", "done")
    rollout = await run(actor)
    assert [act.history for act in actor.acts] == [(), ("forward",), ("forward", "jump")]
    assert [act.frame for act in actor.acts] == [step.frame for step in rollout.steps]
    assert [act.seed for act in actor.acts] == [100, 101, 102]
    assert {(act.version, act.temperature, act.admissible) for act in actor.acts} == {(1, 1.0, ("forward", "done"))}


async def test_every_frame_that_is_named_was_stored_and_the_same_view_only_once() -> None:
    actor = Actor("forward", "jump", "done")
    rollout = await run(actor)
    views = [encode(np.full((4, 4, 3), at, np.uint8)).png for at in (0, 1)]
    assert actor.blobs == [*views, encode(np.full((4, 4, 3), 201, np.uint8)).png]
    assert {step.frame for step in rollout.steps} == {digest(view) for view in views}
    assert rollout.final_frame == digest(actor.blobs[-1])


async def test_steps_are_told_as_they_happen() -> None:
    told: list[tuple[int, str]] = []

    async def tell(_: Task, index: int, step: Step) -> None:
        told.append((index, step.action))

    pilot = Pilot(version=1, temperature=0.0, seed_of=lambda _: 0, max_steps=5, call_seconds=1.0)
    await play(
        Actor("forward", "done"),
        threaded(),
        episode="e",
        task=TASK,
        seed=0,
        pilot=pilot,
        counts=Counter(),
        on_step=tell,
    )
    assert told == [(0, "forward"), (1, "done")]


async def test_an_episode_can_be_held_before_its_first_action() -> None:
    actor, held = Actor("done"), []

    async def hold() -> None:
        held.append((len(actor.acts), len(actor.blobs)))

    pilot = Pilot(version=1, temperature=0.0, seed_of=lambda _: 0, max_steps=5, call_seconds=1.0)
    await play(actor, threaded(), episode="e", task=TASK, seed=0, pilot=pilot, counts=Counter(), hold=hold)
    assert held == [(0, 0)]


async def test_a_call_that_was_lost_is_made_again() -> None:
    rollout = await run(Actor(DeadlineExceeded("late"), Unavailable("away"), "done"))
    assert [step.action for step in rollout.steps] == ["done"]


async def test_an_actor_that_always_fails_cuts_the_episode_short() -> None:
    with pytest.raises(RolloutFailed, match="RemoteError: broken") as caught:
        await run(Actor("forward", *[RemoteError("broken")] * 5))
    assert [step.action for step in caught.value.steps] == ["forward"]
    assert caught.value.task == TASK


async def test_without_any_actor_it_is_not_the_episode_that_failed() -> None:
    with pytest.raises(Unavailable):
        await run(Actor(*[Unavailable("nobody")] * 5))


async def test_an_answer_of_another_version_is_never_taken() -> None:
    with pytest.raises(RolloutFailed, match="asked actor@1, answered by actor@2"):
        await run(Actor("forward", version=2))


class Broken(Corridor):
    def step(self, action: str) -> tuple[Observation, bool, bool]:
        if self.taken:
            raise WorldError("the player died")
        return super().step(action)


async def test_a_world_that_dies_cuts_the_episode_short_and_is_made_anew() -> None:
    made: list[Corridor] = []

    def make() -> Corridor:
        made.append(Corridor() if made else Broken())
        return made[-1]

    world = threaded(make)
    with pytest.raises(RolloutFailed, match="world: the player died") as caught:
        await run(Actor(), world)
    assert len(caught.value.steps) == 1
    assert (await run(Actor("done"), world)).ended == "done"
    assert (await run(Actor("done"), world)).ended == "done"
    assert len(made) == 2
    await world.close()
    assert made[1].closed


async def test_a_world_that_hangs_is_given_up_at_its_deadline() -> None:
    release = threading.Event()

    class Hanging(Corridor):
        def step(self, action: str) -> tuple[Observation, bool, bool]:
            release.wait(10)
            return super().step(action)

    try:
        with pytest.raises(RolloutFailed, match=r"no answer within 0\.05 s"):
            await run(Actor(), threaded(Hanging, seconds=0.05))
    finally:
        release.set()


async def test_a_world_without_an_episode_says_so() -> None:
    world = threaded()
    with pytest.raises(WorldError, match="no episode"):
        await world.step("forward")
    await world.close()


class Doubter:
    """A critic that does not believe until the corridor was walked so far; it keeps the frames it was shown."""

    def __init__(self, far: int) -> None:
        self.convinced = digest(encode(np.full((4, 4, 3), 200 + far, np.uint8)).png)
        self.shown: list[str] = []

    async def believes(self, task: Task, frame: str) -> bool:
        assert task == TASK
        self.shown.append(frame)
        return frame == self.convinced


async def test_a_done_that_the_critic_does_not_believe_is_another_action_instead() -> None:
    actor, critic, counts = Actor("forward", "done", "forward", "done"), Doubter(2), Counter[str]()
    rollout = await run(actor, counts=counts, refinements=3, believes=critic.believes)
    assert [step.action for step in rollout.steps] == ["forward", "forward", "done"]
    assert (rollout.ended, counts["refined"]) == ("done", 1)
    assert len(critic.shown) == 2 and all(frame in {digest(blob) for blob in actor.blobs} for frame in critic.shown)
    assert [act.temperature for act in actor.acts] == [1.0, 1.0, 1.0, 1.0]
    refined = actor.acts[2]
    assert refined.seed != actor.acts[1].seed and refined.history == ("forward",)
    assert (refined.samples, refined.without) == (8, ("done",)) and actor.acts[1].without == ()


async def test_refinements_are_bounded_in_an_episode_and_then_the_actors_word_counts() -> None:
    actor, critic, counts = Actor("done", "done", "done", "done"), Doubter(9), Counter[str]()
    rollout = await run(actor, counts=counts, refinements=3, believes=critic.believes)
    assert [step.action for step in rollout.steps] == ["done"]
    assert (len(actor.acts), counts["refined"]) == (4, 3)


async def test_how_many_samples_an_action_is_chosen_from_is_for_the_actor_to_know() -> None:
    actor = Actor("done")
    await run(actor, samples=5)
    assert [act.samples for act in actor.acts] == [5]


class Refusing(Corridor):
    """A world that cannot offer the first tasks it is asked for."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        if self.times:
            self.times -= 1
            raise ValueError("'put:laptop:tv stnd' cannot be done here: there is no tv stnd for it")
        return super().reset(task, seed)


async def test_a_task_that_the_world_cannot_offer_costs_an_episode_and_no_world() -> None:
    made: list[Refusing] = []

    def make() -> Refusing:
        made.append(Refusing(2))
        return made[-1]

    world = threaded(make)
    for _ in range(2):
        with pytest.raises(RolloutFailed, match="world: 'put:laptop:tv stnd' cannot be done here"):
            await run(Actor("done"), world)
    assert (world.failures, world.refusals) == (0, 2)
    await run(Actor("done"), world)
    assert (world.failures, world.refusals, len(made)) == (0, 0, 1)


class Lounge(Corridor):
    def _observe(self, error: str | None) -> Observation:
        return msgspec.structs.replace(super()._observe(error), admissible=("open tv stand", "done"))


async def test_an_action_is_taken_and_recorded_as_the_world_offers_it() -> None:
    rollout = await run(Actor("open TVStand", "open the tv_stand", "open tv", "done"), threaded(Lounge))
    assert [step.action for step in rollout.steps] == ["open tv stand", "open tv stand", "open tv", "done"]
