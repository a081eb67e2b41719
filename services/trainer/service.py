"""The trainer process: runs the rounds, trains adapters when their inputs are complete, and reports self-feedback."""

import anyio
import anyio.to_thread

from protocols.messages import Adapter, Dropped, Fault, Relabel, Round, Swap, Trajectory, Verdict
from runtime.service import Service
from runtime.sockets import background
from services.feedback.alarms import Alarm, alarms
from services.feedback.figures import Feedback
from services.settings import Settings
from services.trainer.load import load_learner
from services.trainer.state import Train, TrainerState
from services.trainer.training import Training

GAUGE_SECONDS = 1.0
"""Interval at which the self-feedback gauges are updated."""
TOPICS = ("rounds", "trajectories", "verdicts", "relabels", "adapters", "swaps", "dropped")


async def main(service: Service) -> None:
    """Runs the rounds until cancelled. After a restart it replays the whole log and continues where it stopped."""
    settings: Settings = service.settings
    learner = await anyio.to_thread.run_sync(load_learner, settings, abandon_on_cancel=True)
    leader = Leader(service, Training(service, learner))
    async with service.mesh.subscribe(*TOPICS, start="start") as stream, background() as tasks:
        async for delivery in stream.past():
            leader.apply(delivery.message)
        tasks.start_soon(leader.gauge)
        service.set_ready()
        await leader.act()
        async for delivery in stream:
            leader.apply(delivery.message)
            await leader.act()


class Leader:
    """Carries out each decision of `TrainerState` once."""

    def __init__(self, service: Service, training: Training) -> None:
        self._service = service
        self._training = training
        self._state = TrainerState(service.settings)
        self._feedback = Feedback(service.settings.trainer.holdback)
        self._alarms: list[Alarm] = []
        self._taken: set[str] = set()

    def apply(self, message: object) -> None:
        assert isinstance(message, Round | Trajectory | Verdict | Relabel | Adapter | Swap | Dropped)
        self._state.apply(message)
        self._feedback.apply(message)
        if isinstance(message, Round):
            rounds = self._feedback.rounds
            over = rounds[:-1] if message.phase == "collect" else rounds
            self._alarms = alarms(over, self._service.settings.alarms)

    async def gauge(self) -> None:
        """Copies the self-feedback metrics into the service's gauges at an interval."""
        gauges, said = self._service.gauges, dict[str, float]()
        while True:
            for name in said:
                del gauges[name]
            said = self._feedback.now.gauges()
            gauges.update(said)
            await anyio.sleep(GAUGE_SECONDS)

    async def act(self) -> None:
        """Carries out the alarms and decisions that are due. Their effects come back as events."""
        while self._alarms:
            alarm = self._alarms.pop()
            if alarm.id not in self._taken:
                self._taken.add(alarm.id)
                await self._service.fault(alarm.what, alarm.why, alarm.do, id=alarm.id)
        for decision in self._state.decide():
            key = f"{type(decision).__name__}/{decision.id}"
            if key in self._taken:
                continue
            self._taken.add(key)
            if isinstance(decision, Train):
                await self._training.run(decision)
            elif isinstance(said := decision.message, Fault):
                await self._service.fault(said.what, said.why, said.do, id=decision.id)
            else:
                self._service.log.info("%s: %s", decision.topic, decision.id)
                await self._service.mesh.publish(decision.topic, decision.message, id=decision.id)
