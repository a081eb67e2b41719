"""Measures versions: an actor by greedy episodes on held-out tasks, a critic on the held-out judgement set."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread
import msgspec
import msgspec.structs

from protocols.errors import ProtocolError
from protocols.messages import Answer, Ask, Digest, Estimate, Role, Task
from runtime.service import Service
from runtime.storage import when_there_is_room
from services.critic.prompts import NO, YES, judge
from services.evaluator.judgements import Held, JudgementSet
from services.evaluator.shared_set import SharedSet
from services.evaluator.state import EvaluatorState
from services.evaluator.stats import by_group, judge_rates
from services.patience import Changes, call_patiently
from services.proportions import estimate
from services.settings import Settings
from services.worlds.load import load_world
from services.worlds.rollout import Pilot, Rollout, RolloutFailed, play, sampling_seed
from services.worlds.threaded import THREADS, ThreadedWorld
from services.worlds.world import seeds

TRICKLE = 4
"""Concurrent requests of each kind while the run still trains; few, because measuring must not slow the run down."""
RESERVE = 24
"""Items of a version that wait until its successor is announced. Their requests then overlap with the swap."""

Measured = tuple[Estimate, dict[str, Estimate], dict[str, float]]
"""Score, score by verb, further proportions."""


class Measuring:
    """Measures with `TRICKLE` requests at a time while the run trains, and with the configured number after `hurry`."""

    def __init__(self, service: Service, state: EvaluatorState, changes: Changes) -> None:
        self._service = service
        self._settings: Settings = service.settings
        self._state = state
        self._changes = changes
        wanted = self._settings.evaluator
        folder = service.run.path / "evaluation"
        self._left = anyio.Event()
        self._set = JudgementSet(folder / f"{wanted.split}_judge.jsonl", wanted.judgements)
        self._playing = anyio.CapacityLimiter(min(TRICKLE, wanted.episodes))
        self._asking = anyio.CapacityLimiter(TRICKLE)
        self._threads = anyio.CapacityLimiter(THREADS)
        self._idle: list[ThreadedWorld] = []

    def close(self) -> None:
        """Ends the worlds that run in processes of their own."""
        for world in self._idle:
            world.kill()
        self._idle.clear()

    def hurry(self) -> None:
        """Raises the concurrency to the configured limits. Called when training is over."""
        self._playing.total_tokens = self._settings.evaluator.episodes
        self._asking.total_tokens = self._settings.critic.in_flight

    async def begin(self, tasks: anyio.abc.TaskGroup) -> None:
        """Loads the shared judgement set if there is one, else starts to collect it with the base actor.

        Raises:
            SettingsError: the shared set is damaged.
        """
        await self._set.load()
        shared = SharedSet(self._settings) if self._settings.evaluator.judgement_sets else None
        if shared is not None and self._set.missing:
            await self._take(shared)
        for index in self._set.missing:
            tasks.start_soon(self._collect, index)
        if shared is None:
            self._left.set()
        else:
            tasks.start_soon(self._leave, shared)

    async def measure(self, role: Role, version: int) -> Measured:
        """Measures a version. Episodes that fail because of world or mesh are left out and reported as faults."""
        return await (self._measure_actor(version) if role == "actor" else self._measure_critic(version))

    # -- the actor

    async def _measure_actor(self, version: int) -> Measured:
        split, total = self._settings.evaluator.split, self._settings.evaluator.tasks
        results: list[tuple[str, bool]] = []
        tried = 0

        async def one(index: int) -> None:
            nonlocal tried
            episode, seed = f"{split}-{index:05d}/actor@{version}", self._seeds(split, total)[index]
            async with self._playing:  # reserved episodes wait with their worlds reset, and ask at once when released
                rollout = await self._play(
                    episode, seed, version, 0.0, hold=partial(self._turn, "actor", version, index, total)
                )
            tried += 1
            if rollout:
                results.append((rollout.task.verb, rollout.truth.success))
            await self._service.progress(f"measuring actor@{version}", tried, total)

        async with anyio.create_task_group() as tasks:
            for index in range(total):
                tasks.start_soon(one, index)
        return estimate([success for _, success in results]), by_group(results), {}

    async def _play(
        self,
        episode: str,
        seed: int,
        version: int,
        temperature: float,
        hold: Callable[[], Awaitable[None]] | None = None,
    ) -> Rollout | None:
        settings = self._settings
        exploring = temperature > 0
        refinements = 0 if exploring else settings.evaluator.refine
        pilot = Pilot(
            version=version,
            temperature=temperature,
            seed_of=partial(sampling_seed, episode),
            max_steps=settings.simulator.max_steps,
            call_seconds=settings.mesh.call_seconds,
            samples=1 if exploring else settings.evaluator.samples,
            refinements=refinements,
            believes=partial(self._believes, self._state.critic_of(version)) if refinements else None,
            background=True,
        )
        world = self._idle.pop() if self._idle else self._world()
        try:
            return await play(
                self._service.mesh, world, episode=episode, task=None, seed=seed, pilot=pilot,
                counts=self._service.counts, hold=hold,
            )  # fmt: skip
        except RolloutFailed as failure:
            await self._service.fault(f"{episode} is left out of the measurement", str(failure), id=f"{episode}/failed")
            return None
        finally:
            self._idle.append(world)

    async def _believes(self, critic: int, task: Task, frame: Digest) -> bool:
        """Whether this critic version judges the task done. True if it gives no answer."""
        said = await self._judge(task.instruction, frame, critic, f"refine-{frame[:12]}", samples=1)
        return said is not False

    def _seeds(self, split: str, count: int) -> Sequence[int]:
        return seeds(split, count, starts=msgspec.structs.asdict(self._settings.world.seeds))

    def _world(self) -> ThreadedWorld:
        make = partial(load_world, self._settings.world, max_steps=self._settings.simulator.max_steps)
        return ThreadedWorld(make, seconds=self._settings.simulator.step_seconds, limiter=self._threads)

    async def _turn(self, role: Role, version: int, index: int, total: int) -> None:
        """Waits, for the last `RESERVE` items, until this version's successor is announced."""
        if index >= total - min(RESERVE, total // 2):
            await self._changes.until(lambda: self._state.succeeded(role, version))

    # -- the critic

    async def _collect(self, index: int) -> None:
        """Collects one item of the judgement set: an episode of the base actor at temperature 1, as in collection."""
        split = f"{self._settings.evaluator.split}_judge"
        async with self._playing:
            seed = self._seeds(split, self._settings.evaluator.judgements)[index]
            rollout = await self._play(f"{split}-{index:05d}", seed, 0, 1.0)
        held = Held(index=index, task=None, frame=None, success=False)
        if rollout:
            held = msgspec.structs.replace(
                held, task=rollout.task, frame=rollout.final_frame, success=rollout.truth.success
            )
        await self._set.add(held)

    async def _take(self, shared: SharedSet) -> None:
        """Copies the shared set, if it exists, into this run's set."""
        held = await anyio.to_thread.run_sync(shared.read)
        frames = await anyio.to_thread.run_sync(lambda: list(shared.frames(held)))
        for frame in frames:
            await self._service.mesh.put_blob(frame)
        missing = set(self._set.missing)
        for one in held:
            if one.index in missing:
                await self._set.add(one)

    async def _leave(self, shared: SharedSet) -> None:
        """Shares this run's set when it is complete, if there is no shared one and no episode of it failed."""
        held = [await self._set.item(index) for index in range(self._settings.evaluator.judgements)]
        names = [one.frame for one in held if one.frame is not None]
        if not shared.file.exists() and len(names) == len(held):
            frames = [await self._service.mesh.get_blob(name) for name in names]
            await when_there_is_room(lambda: anyio.to_thread.run_sync(shared.write, held, frames))
        self._left.set()

    async def _measure_critic(self, version: int) -> Measured:
        total = self._settings.evaluator.judgements
        judged: list[tuple[str, bool, bool]] = []
        tried = 0

        async def one(index: int) -> None:
            nonlocal tried
            await self._turn("critic", version, index, total)
            held = await self._set.item(index)
            if held.task is not None and held.frame is not None:
                async with self._asking:
                    said = await self._judge(
                        held.task.instruction, held.frame, version, f"judge-{index}",
                        samples=self._settings.evaluator.samples,
                    )  # fmt: skip
                if said is not None:
                    judged.append((held.task.verb, said, held.success))
            tried += 1
            await self._service.progress(f"measuring critic@{version}", tried, total)

        async with anyio.create_task_group() as tasks:
            for index in range(total):
                tasks.start_soon(one, index)
        await self._left.wait()  # the run ends with its last measurement, which must not precede sharing the set
        right = [(verb, said == so) for verb, said, so in judged]
        rates = judge_rates([(said, so) for _, said, so in judged])
        return estimate([hit for _, hit in right]), by_group(right), rates

    async def _judge(self, instruction: str, frame: str, version: int, name: str, *, samples: int) -> bool | None:
        """The version's yes or no, or None if the call fails or another version answers. ``name`` identifies a failed
        call in its fault."""
        counts = self._service.counts
        ask = Ask(
            frame=frame, question=judge(instruction), version=version, choices=(YES, NO), samples=samples,
            background=True,
        )  # fmt: skip
        try:
            said: Answer = await call_patiently(
                self._service.mesh, "ask", ask, timeout=self._settings.mesh.call_seconds
            )  # fmt: skip
        except ProtocolError as error:
            counts["answers_failed"] += 1
            await self._service.fault(
                f"{name} is left out of measuring critic@{version}", str(error), id=f"{name}/critic@{version}"
            )
            return None
        counts["answers"] += 1
        if said.version != version:
            counts["answers_wrong_version"] += 1
            return None
        return said.answer == YES if said.log_odds is None else said.log_odds > 0
