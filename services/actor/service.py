"""The actor process: chooses actions for simulator and evaluator, with the adapter version that the call names."""

import anyio

from protocols.messages import Act, Action
from runtime.service import Service
from services.actor.prompts import next_action
from services.models.engine import Request
from services.models.load import load_engine
from services.models.serving import Serving
from services.models.votes import ballots, majority
from services.settings import Settings

SLOTS = 2
"""Adapter versions to keep in addition to those that staleness needs: the one that serves and the next one."""


async def main(service: Service) -> None:
    """Serves `act` until cancelled."""
    settings: Settings = service.settings
    capacity = settings.simulator.max_staleness + SLOTS
    engine = await load_engine(
        settings.model, role="actor", max_versions=capacity, max_rank=settings.trainer.actor.rank,
        adapters=settings.run.rounds > 0,
    )  # fmt: skip
    try:
        serving = Serving(service, engine, "actor", capacity=capacity)
        async with anyio.create_task_group() as tasks:
            await tasks.start(serving.follow)
            service.set_ready()
            await service.mesh.serve("act", Actor(serving).act, capacity=4 * settings.model.max_in_flight)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(settings.mesh.grace_seconds):
            await engine.close()


class Actor:
    """Answers `act`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def act(self, act: Act) -> Action:
        """Returns the next action, in lower case. Waits until the call's deadline for a version not loaded yet."""
        version = await self._serving.ready(act.version)
        request = Request(
            prompt=next_action(act.task.instruction, act.history, act.admissible),
            image=await self._serving.frame(act.frame),
            image_id=act.frame,
            version=version,
            temperature=act.temperature,
            seed=act.seed,
            background=act.background,
        )
        said = majority(request, await self._serving.answer(ballots(request, act.samples)), act.without)
        return Action(action=said.text.strip().lower(), version=said.version, log_prob=said.log_prob)
