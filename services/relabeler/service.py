"""The relabeler process: asks which instruction each failed trajectory fulfilled instead, and publishes it."""

from functools import partial

import anyio

from protocols.messages import Answer, Ask, Question, Relabel, Round, Trajectory, Verdict
from runtime.service import Service
from runtime.streams import Delivery
from services.patience import Changes, call_patiently, each
from services.relabeler.hindsight import Inquiry, conclude, inquiries
from services.relabeler.state import Episode, RelabelerState
from services.settings import Settings

TRAJECTORY_SECONDS = 60.0
"""Longest wait for a verdict's trajectory, which precedes the verdict in the log."""


async def main(service: Service) -> None:
    """Relabels until cancelled."""
    settings: Settings = service.settings
    relabeler = Relabeler(service)
    async with anyio.create_task_group() as tasks:
        await tasks.start(relabeler.follow)
        service.set_ready()
        in_flight = settings.relabeler.in_flight
        async with service.mesh.consume("verdicts", group="relabeler", max_in_flight=in_flight) as stream:
            await each(stream, relabeler.handle)


class Relabeler:
    """Carries out what `RelabelerState` determines."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings: Settings = service.settings
        self._state = RelabelerState()
        self._changes = Changes()

    async def follow(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Applies events to the state."""
        async with self._service.mesh.subscribe("rounds", "trajectories", "relabels", start="start") as stream:
            async for delivery in stream.past():
                self._apply(delivery)
            task_status.started()
            async for delivery in stream:
                self._apply(delivery)
                self._changes.notify()

    def _apply(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, Round | Trajectory | Relabel)
        self._state.apply(delivery.message)

    async def handle(self, delivery: Delivery) -> None:
        """Publishes a relabel for every first verdict that is a failure. Its task is None if hindsight found none."""
        verdict = delivery.message
        assert isinstance(verdict, Verdict)
        if self._state.wanted(verdict):
            with anyio.fail_after(TRAJECTORY_SECONDS):
                episode = await self._changes.until(partial(self._state.episode, verdict))
            relabel = await self._relabel(verdict, episode)
            await self._service.mesh.publish("relabels", relabel, id=verdict.trajectory)
            self._service.counts["relabels" if relabel.task else "without_relabel"] += 1
        await delivery.ack()

    async def _relabel(self, verdict: Verdict, episode: Episode) -> Relabel:
        settings = self._settings.relabeler
        asked: list[tuple[Inquiry, Question]] = []
        if settings.enabled:
            version = verdict.critic_version if settings.asker == "critic" else 0
            todo = inquiries(episode.task, episode.actions, settings)
            asked = [(inquiry, await self._ask(inquiry, episode.final_frame, version)) for inquiry in todo]
        found = conclude(episode.task, episode.actions, asked, settings)
        return Relabel(
            trajectory=verdict.trajectory,
            round=verdict.round,
            task=found.task if found else None,
            act=found.act if found else None,
            questions=tuple(question for _, question in asked),
        )

    async def _ask(self, inquiry: Inquiry, frame: str, version: int) -> Question:
        ask = Ask(frame=frame, question=inquiry.question, version=version)
        said: Answer = await call_patiently(
            self._service.mesh, "ask", ask, timeout=self._settings.mesh.call_seconds
        )  # fmt: skip
        expected = inquiry.placed.target if inquiry.placed else None
        return Question(text=inquiry.question, answer=said.answer, frame=frame, version=said.version, expected=expected)
