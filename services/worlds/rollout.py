"""Plays one episode: sends the world's frames to the actor and the actor's actions to the world.

The simulator collects episodes with it and the evaluator measures with it, so both run episodes in the same way.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, Protocol

import anyio
import msgspec

from protocols.errors import Busy, ProtocolError, Unavailable
from protocols.messages import Act, Action, Digest, Step, Task
from services.patience import Caller, call_patiently
from services.worlds.instructions import as_offered
from services.worlds.threaded import Seen, ThreadedWorld
from services.worlds.world import Truth, WorldError


class Mesh(Caller, Protocol):
    """The part of the mesh client that an episode uses."""

    async def put_blob(self, data: bytes) -> Digest: ...


DONE = "done"
"""The action with which the actor ends an episode."""

REFINING_TEMPERATURE, REFINING_SAMPLES = 1.0, 8
"""The temperature and number of samples for another action after a rejected "done"; the most frequent one is taken."""

Believes = Callable[[Task, Digest], Awaitable[bool]]
"""Returns whether the critic judges the task as done in the third-person frame with this digest."""


class Pilot(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an episode: the actor version that plays all of it, its sampling, and its limits.

    ``seed_of`` returns the sampling seed of a step. With several ``samples``, the most frequent action is taken. If
    ``believes`` is given, it must confirm a "done"; while it does not, another action is sampled, at most
    ``refinements`` times an episode (Self-Refine).
    """

    version: int
    temperature: float
    seed_of: Callable[[int], int]
    max_steps: int
    call_seconds: float
    samples: int = 1
    refinements: int = 0
    believes: Believes | None = None
    background: bool = False


def sampling_seed(episode: str, step: int) -> int:
    """Returns the seed (31 bits) with which the actor samples one step; a replayed episode takes the same actions."""
    return int.from_bytes(hashlib.sha256(f"{episode}/{step}".encode()).digest()[:4], "big") >> 1


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A finished episode. ``truth`` is only for audits and measurements: training must not read it."""

    task: Task
    steps: tuple[Step, ...]
    ended: Literal["done", "limit"]
    final_frame: Digest
    truth: Truth
    seconds: float


class RolloutFailed(Exception):
    """The world or the actor failed during an episode. ``steps`` are the steps taken before."""

    def __init__(self, cause: str, task: Task | None, steps: tuple[Step, ...]) -> None:
        super().__init__(cause)
        self.task = task
        self.steps = steps


class _ActorFailed(Exception):
    """The actor cannot answer, or answered with another version than the one requested."""


OnStep = Callable[[Task, int, Step], Awaitable[None]]


async def play(
    mesh: Mesh,
    world: ThreadedWorld,
    *,
    episode: str,
    task: Task | None,
    seed: int,
    pilot: Pilot,
    counts: Counter[str],
    on_step: OnStep | None = None,
    hold: Callable[[], Awaitable[None]] | None = None,
) -> Rollout:
    """Plays an episode until the actor's "done" or the step limit; the ground truth about the goal never ends it.

    ``counts`` gains "answers", "answers_wrong_version", "answers_failed" and "refined" (actions sampled instead of a
    "done"). ``hold`` is awaited after the world's reset and before the first call of the actor.

    Raises:
        RolloutFailed: the world failed or hung, or the actor gave no usable answer in all tries.
        Unavailable, Busy: no actor is available; the episode itself has not failed.
    """
    begun = anyio.current_time()
    given, steps = task, list[Step]()
    ended: Literal["done", "limit"] = "limit"
    left = pilot.refinements
    try:
        given, seen = await world.reset(task, seed)
        if hold is not None:
            await hold()
        await mesh.put_blob(seen.picture.png)  # after `hold`, which may take long: blobs without references are evicted
        for index in range(pilot.max_steps):
            history = tuple(step.action for step in steps)
            action = await _ask(mesh, episode, given, seen, history, index, pilot, counts)
            if action == DONE and left and not await _believed(mesh, world, given, pilot):
                while action == DONE and left:
                    left -= 1
                    counts["refined"] += 1
                    again = msgspec.structs.replace(
                        pilot, temperature=REFINING_TEMPERATURE, samples=REFINING_SAMPLES,
                        seed_of=partial(sampling_seed, f"{episode}/refined/{left}"),
                    )  # fmt: skip
                    action = await _ask(mesh, episode, given, seen, history, index, again, counts, without=(DONE,))
            action = as_offered(action, seen.admissible)
            after, terminated, truncated = await world.step(action)
            steps.append(Step(frame=seen.picture.digest, action=action, error=after.error, admissible=seen.admissible))
            if on_step is not None:
                await on_step(given, index, steps[-1])
            if terminated or truncated:
                ended = "done" if terminated else "limit"
                break
            if after.picture.digest != seen.picture.digest:
                await mesh.put_blob(after.picture.png)
            seen = after
        last, truth = await world.end()
        await mesh.put_blob(last.png)
    except WorldError as error:
        raise RolloutFailed(f"world: {error}", given, tuple(steps)) from error
    except _ActorFailed as error:
        raise RolloutFailed(f"actor: {error}", given, tuple(steps)) from error
    return Rollout(
        task=given,
        steps=tuple(steps),
        ended=ended,
        final_frame=last.digest,
        truth=truth,
        seconds=anyio.current_time() - begun,
    )


async def _believed(mesh: Mesh, world: ThreadedWorld, task: Task, pilot: Pilot) -> bool:
    """Whether the critic confirms that the task is done now; true without a critic."""
    if pilot.believes is None:
        return True
    now = await world.look()
    await mesh.put_blob(now.png)
    return await pilot.believes(task, now.digest)


async def _ask(
    mesh: Mesh,
    episode: str,
    task: Task,
    seen: Seen,
    history: tuple[str, ...],
    index: int,
    pilot: Pilot,
    counts: Counter[str],
    without: tuple[str, ...] = (),
) -> str:
    act = Act(
        episode=episode,
        frame=seen.picture.digest,
        task=task,
        history=history,
        admissible=seen.admissible,
        version=pilot.version,
        temperature=pilot.temperature,
        seed=pilot.seed_of(index),
        samples=pilot.samples,
        without=without,
        background=pilot.background,
    )
    try:
        said: Action = await call_patiently(mesh, "act", act, timeout=pilot.call_seconds)
    except (Unavailable, Busy):
        raise
    except ProtocolError as error:
        counts["answers_failed"] += 1
        raise _ActorFailed(f"{type(error).__name__}: {error}") from error
    counts["answers"] += 1
    if said.version != pilot.version:
        counts["answers_wrong_version"] += 1
        raise _ActorFailed(f"asked actor@{pilot.version}, answered by actor@{said.version}")
    return " ".join(said.action.lower().split())
