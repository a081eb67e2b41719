"""The simulator process: plays its share of a round's episodes concurrently and publishes their trajectories."""

from functools import partial

import anyio
import anyio.to_thread
import msgspec.structs

from protocols.errors import ProtocolError
from protocols.messages import Answer, Ask, Digest, LiveStep, Outcome, Round, Step, Task, Trajectory
from runtime.service import Service
from runtime.settings import SettingsError
from services.critic.prompts import NO, YES, self_ask
from services.patience import Changes, call_patiently
from services.settings import Settings
from services.simulator.share import share_of
from services.simulator.state import Collection, Episode
from services.worlds.load import load_world
from services.worlds.rollout import Pilot, Rollout, RolloutFailed, play, sampling_seed
from services.worlds.spelling import spelled
from services.worlds.threaded import THREADS, ThreadedWorld
from services.worlds.world import seeds

UNKNOWN = Task(id="unknown", instruction="", verb="unknown", object="unknown")
"""The task of an episode whose world failed before it named a task."""

REFUSALS = 100
"""Number of consecutive episodes whose task a world may refuse before its collector stops."""


async def main(service: Service) -> None:
    """Collects until cancelled. After a restart it plays only the episodes that are not in the log yet.

    Raises:
        SettingsError: the world or an option of it does not exist, seeds of its splits would overlap, there is no share
            for this instance, or all worlds failed too often.
    """
    settings: Settings = service.settings
    starts = msgspec.structs.asdict(settings.world.seeds)
    changes = Changes()
    make = partial(load_world, settings.world, max_steps=settings.simulator.max_steps)
    try:
        share = share_of(service.instance, settings.simulator)
        check_seeds(settings)
        (await anyio.to_thread.run_sync(make)).close()
    except ValueError as error:
        raise SettingsError(f"cannot collect as it is set: {error}") from error
    state = Collection(run_seed=settings.run.seed, rounds=settings.run.rounds, starts=starts, share=share)
    limiter = anyio.CapacityLimiter(max(1, THREADS // share.instances))
    topics = ("rounds", "trajectories")
    async with service.mesh.subscribe(*topics, start="start") as stream, anyio.create_task_group() as tasks:
        async for delivery in stream.past():
            _apply(state, delivery.message)
        left = Countdown(min(share.episodes, len(share.of(settings.simulator.quota))))
        for _ in range(left.count):
            world = ThreadedWorld(make, seconds=settings.simulator.step_seconds, limiter=limiter)
            tasks.start_soon(Collector(service, world, left).run, state, changes)
        service.set_ready()
        async for delivery in stream:
            _apply(state, delivery.message)
            changes.notify()


def check_seeds(settings: Settings) -> None:
    """Raises ValueError if a seed of collection or measurement would belong to two splits."""
    run, measured, starts = settings.run, settings.evaluator, msgspec.structs.asdict(settings.world.seeds)
    seeds("train", settings.simulator.quota, run_seed=run.seed, round=run.rounds, starts=starts)
    seeds(measured.split, measured.tasks, starts=starts)
    seeds(f"{measured.split}_judge", measured.judgements, starts=starts)


def _apply(state: Collection, message: object) -> None:
    assert isinstance(message, Round | Trajectory)
    state.apply(message)


class Countdown:
    """The number of worlds that still run."""

    def __init__(self, count: int) -> None:
        self.count = count


class Collector:
    """Plays episodes in one world, one after another, until the world has failed too often."""

    def __init__(self, service: Service, world: ThreadedWorld, left: Countdown) -> None:
        self._service = service
        self._settings: Settings = service.settings
        self._world = world
        self._left = left
        self._cause = ""

    async def run(self, state: Collection, changes: Changes) -> None:
        try:
            await self._play_on(state, changes)
        finally:
            self._world.kill()
        self._left.count -= 1
        service, restarts = self._service, self._settings.simulator.restarts
        if not self._left.count:
            failed, do = f"failed more than {restarts} times", "run selu doctor and read the simulator's log"
            if self._world.refusals >= REFUSALS:
                failed, do = f"refused {REFUSALS} tasks", "compare world.options.tasks with the objects of the scenes"
            raise SettingsError(f"every world {failed} without one whole episode, last by {self._cause}; {do}")
        number = f"{service.instance}/given-up-{self._left.count}"
        await service.fault("a world was given up", self._cause, f"{self._left.count} others go on", id=number)

    async def _play_on(self, state: Collection, changes: Changes) -> None:
        gauges = self._service.gauges
        while self._world.failures <= self._settings.simulator.restarts and self._world.refusals < REFUSALS:
            episode = await changes.until(state.take)
            gauges["episodes"] = gauges.get("episodes", 0.0) + 1
            try:
                await self._collect(episode)
            finally:
                gauges["episodes"] -= 1
            await self._service.progress(f"round {episode.round}", state.collected, self._settings.simulator.quota)

    async def _collect(self, episode: Episode) -> None:
        settings = self._settings
        pilot = Pilot(
            version=episode.actor_version,
            temperature=settings.simulator.temperature,
            seed_of=partial(sampling_seed, f"{settings.run.seed}/{episode.id}"),
            samples=settings.actor.samples,
            refinements=settings.simulator.refine,
            believes=self._believes if settings.simulator.refine else None,
            max_steps=settings.simulator.max_steps,
            call_seconds=settings.mesh.call_seconds,
        )

        async def say(task: Task, index: int, step: Step) -> None:
            live = LiveStep(
                trajectory=episode.id, task=task, index=index, action=step.action, error=step.error,
                frame=step.frame, actor_version=episode.actor_version,
            )  # fmt: skip
            await self._service.mesh.emit("steps", live)

        begun = anyio.current_time()
        try:
            rollout = await play(
                self._service.mesh, self._world, episode=episode.id, task=None, seed=episode.seed, pilot=pilot,
                counts=self._service.counts, on_step=say,
            )  # fmt: skip
        except RolloutFailed as failure:
            self._cause = str(failure)
            await self._truncate(episode, failure, anyio.current_time() - begun)
        else:
            await self._publish(episode, rollout)

    async def _believes(self, task: Task, frame: Digest) -> bool:
        """Whether the task is done according to the base model's answer about the object's state. True if the call
        fails, because the actor has said "done"."""
        text, expected = self_ask(task, self._settings.critic.phrasing)
        choices = (YES, NO) if expected == YES else ()
        ask = Ask(frame=frame, question=text, version=0, choices=choices)
        try:
            said: Answer = await call_patiently(
                self._service.mesh, "ask", ask, timeout=self._settings.mesh.call_seconds
            )  # fmt: skip
        except ProtocolError:
            self._service.counts["answers_failed"] += 1
            return True
        return spelled(said.answer) == spelled(expected)

    async def _publish(self, episode: Episode, rollout: Rollout) -> None:
        trajectory = Trajectory(
            id=episode.id, round=episode.round, index=episode.index, world=self._settings.world.name,
            seed=episode.seed, task=rollout.task, steps=rollout.steps, final_frame=rollout.final_frame,
            actor_version=episode.actor_version, ended=rollout.ended, seconds=rollout.seconds,
        )  # fmt: skip
        truth = rollout.truth
        outcome = Outcome(
            trajectory=episode.id, round=episode.round, success=truth.success, satisfied=truth.satisfied
        )  # fmt: skip
        # The outcome comes first: a trajectory in the log is never played again, so a crash must not lose its outcome.
        await self._service.mesh.publish("outcomes", outcome, id=episode.id)
        await self._service.mesh.publish("trajectories", trajectory, id=episode.id)

    async def _truncate(self, episode: Episode, failure: RolloutFailed, seconds: float) -> None:
        trajectory = Trajectory(
            id=episode.id, round=episode.round, index=episode.index, world=self._settings.world.name,
            seed=episode.seed, task=failure.task or UNKNOWN, steps=failure.steps, final_frame=None,
            actor_version=episode.actor_version, ended="truncated", cause=str(failure), seconds=seconds,
        )  # fmt: skip
        await self._service.mesh.publish("trajectories", trajectory, id=episode.id)
        await self._service.fault(
            f"trajectory {episode.id} was cut short",
            str(failure),
            "the round goes on without it",
            id=f"{episode.id}/cut",
        )
