"""The trainer: leads the rounds, and trains an adapter whenever its fold says that all it needs is there."""

import anyio
import anyio.to_thread

from protocols.messages import Adapter, Dropped, Relabel, Round, Swap, Trajectory, Verdict
from runtime.service import Service
from services.settings import Settings
from services.trainer.load import load_learner
from services.trainer.state import Publish, TrainerState
from services.trainer.training import Training

TOPICS = ("rounds", "trajectories", "verdicts", "relabels", "adapters", "swaps", "dropped")


async def main(service: Service) -> None:
    """Leads the run until cancelled. A restart folds the whole log and goes on where it stopped."""
    settings: Settings = service.settings
    learner = await anyio.to_thread.run_sync(load_learner, settings, abandon_on_cancel=True)
    leader = Leader(service, Training(service, learner))
    async with service.mesh.subscribe(*TOPICS, start="start") as stream:
        async for delivery in stream.past():
            leader.apply(delivery.message)
        service.set_ready()
        await leader.act()
        async for delivery in stream:
            leader.apply(delivery.message)
            await leader.act()


class Leader:
    """Carries out what the fold decides, each decision once."""

    def __init__(self, service: Service, training: Training) -> None:
        self._service = service
        self._training = training
        self._state = TrainerState(service.settings)
        self._taken: set[str] = set()

    def apply(self, message: object) -> None:
        assert isinstance(message, Round | Trajectory | Verdict | Relabel | Adapter | Swap | Dropped)
        self._state.apply(message)

    async def act(self) -> None:
        """Carries out what is to be done now. Its effects come back as events."""
        for decision in self._state.decide():
            key = f"{type(decision).__name__}/{decision.id}"
            if key in self._taken:
                continue
            self._taken.add(key)
            if isinstance(decision, Publish):
                self._service.log.info("%s: %s", decision.topic, decision.id)
                await self._service.mesh.publish(decision.topic, decision.message, id=decision.id)
            else:
                await self._training.run(decision)
