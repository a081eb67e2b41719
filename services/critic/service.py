"""The critic process: judges last frames, asks itself about them, judges rounds again, answers `ask` calls."""

from collections.abc import Sequence
from functools import partial

import anyio

from protocols.messages import Answer, Ask, Digest, Question, Relabel, Round, Task, Trajectory, Verdict
from runtime.service import Service
from runtime.streams import Delivery
from services.critic import judging
from services.critic.state import CriticState, Rejudging
from services.models.engine import Request
from services.models.load import load_engine
from services.models.serving import Serving
from services.models.votes import ballots, majority
from services.patience import Changes, each
from services.settings import Settings
from services.worlds.instructions import normal

SLOTS = 2
"""Adapter versions to keep in addition to those that staleness needs: the one that serves and the next one."""


async def main(service: Service) -> None:
    """Judges trajectories and serves `ask` until cancelled."""
    settings: Settings = service.settings
    capacity = settings.simulator.max_staleness + SLOTS
    engine = await load_engine(
        settings.model, role="critic", max_versions=capacity, max_rank=settings.trainer.critic.rank,
        adapters=settings.run.rounds > 0,
    )  # fmt: skip
    try:
        critic = Critic(service, Serving(service, engine, "critic", capacity=capacity))
        async with anyio.create_task_group() as tasks:
            await tasks.start(critic.serving.follow)
            await tasks.start(critic.follow, tasks)
            tasks.start_soon(critic.judge_all)
            service.set_ready()
            await service.mesh.serve("ask", critic.ask, capacity=4 * settings.model.max_in_flight)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(settings.mesh.grace_seconds):
            await engine.close()


class Critic:
    """Carries out what `CriticState` determines."""

    def __init__(self, service: Service, serving: Serving) -> None:
        self.serving = serving
        self._service = service
        self._settings: Settings = service.settings
        self._state = CriticState()
        self._changes = Changes()

    async def follow(
        self, tasks: anyio.abc.TaskGroup, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Applies events to the state, and starts judging a round again when its announcement requires it."""
        mesh = self._service.mesh
        async with mesh.subscribe("rounds", "relabels", "verdicts", start="start") as stream:
            async for delivery in stream.past():
                self._apply(delivery)
            if self._state.rejudging:
                tasks.start_soon(self.judge_again, self._state.rejudging)
            task_status.started()
            async for delivery in stream:
                self._apply(delivery)
                self._changes.notify()
                if self._state.rejudging and isinstance(delivery.message, Round):
                    tasks.start_soon(self.judge_again, self._state.rejudging)

    def _apply(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, Round | Relabel | Verdict)
        self._state.apply(delivery.offset, delivery.message)

    # -- verdicts

    async def judge_all(self) -> None:
        """Publishes the first verdict of every trajectory. Several critics share the work."""
        in_flight = self._settings.critic.in_flight
        async with self._service.mesh.consume("trajectories", group="critic", max_in_flight=in_flight) as stream:
            await each(stream, self._judge)

    async def _judge(self, delivery: Delivery) -> None:
        trajectory = delivery.message
        assert isinstance(trajectory, Trajectory)
        if trajectory.ended != "truncated" and trajectory.final_frame is not None:
            version = await self._changes.until(partial(self._state.version, trajectory))
            if not self._state.judged(trajectory):
                await self._publish(await self._first_verdict(trajectory, trajectory.final_frame, version))
        await delivery.ack()

    async def _first_verdict(self, trajectory: Trajectory, frame: Digest, version: int) -> Verdict:
        settings = self._settings.critic
        image = await self.serving.frame(frame)
        request = judging.judging_request(trajectory.task, frame, image, version)
        said = majority(request, await self.serving.answer(ballots(request, settings.samples)))
        judgement = judging.read_judgement(said)
        own = [trajectory.task] if judging.asks(judgement, settings) else []
        others = judging.also_asks(trajectory, settings)
        asker = version if settings.asker == "critic" else 0
        answered = await self._ask_itself([*own, *others], frame, image, asker)
        questions = answered.pop(0) if own else ()
        findings = [judging.finding(task, answers) for task, answers in zip(others, answered, strict=True)]
        self._service.counts["self_asked"] += len(own)
        self._service.counts["findings"] += len(findings)
        return judging.verdict(trajectory, judgement, version=said.version, questions=questions, findings=findings)

    async def _ask_itself(
        self, tasks: Sequence[Task], frame: Digest, image: bytes, version: int
    ) -> list[tuple[Question, ...]]:
        """The answers of that version to each task's questions about the frame."""
        asked = [judging.inquiries(task, frame, image, version, self._settings.critic) for task in tasks]
        said = iter(await self.serving.answer([inquiry.request for inquiries in asked for inquiry in inquiries]))
        return [tuple(judging.read_answer(inquiry, next(said)) for inquiry in inquiries) for inquiries in asked]

    async def judge_again(self, work: Rejudging) -> None:
        """Publishes verdicts of the version trained in a round on the round's trajectories, without self-asking."""
        consume = self._service.mesh.consume(
            "trajectories", group=work.group, start=work.start, until=work.until,
            max_in_flight=self._settings.critic.in_flight,
        )  # fmt: skip
        async with consume as stream:
            await each(stream, partial(self._judge_again, work))
        self._service.log.info("judged round %d again with critic@%d", work.round, work.version)

    async def _judge_again(self, work: Rejudging, delivery: Delivery) -> None:
        trajectory = delivery.message
        assert isinstance(trajectory, Trajectory)
        frame = trajectory.final_frame
        if trajectory.round == work.round and trajectory.ended != "truncated" and frame is not None:
            subjects = self._state.subjects(trajectory, work.version)
            image = await self.serving.frame(frame)
            requests = [judging.judging_request(task, frame, image, work.version) for _, task in subjects]
            for (subject, task), said in zip(subjects, await self.serving.answer(requests), strict=True):
                judgement = judging.read_judgement(said)
                await self._publish(
                    judging.verdict(trajectory, judgement, version=said.version, task=task, subject=subject)
                )
        await delivery.ack()

    async def _publish(self, verdict: Verdict) -> None:
        id = f"{verdict.trajectory}/{verdict.subject}/c{verdict.critic_version}"
        await self._service.mesh.publish("verdicts", verdict, id=id)
        self._service.counts["verdicts"] += 1

    # -- questions

    async def ask(self, ask: Ask) -> Answer:
        """Answers `ask` with a normalized text. Waits until the call's deadline for a version not loaded yet."""
        version = await self.serving.ready(ask.version)
        request = Request(
            prompt=ask.question,
            image=await self.serving.frame(ask.frame),
            image_id=ask.frame,
            version=version,
            choices=ask.choices,
            background=ask.background,
        )
        said = majority(request, await self.serving.answer(ballots(request, ask.samples)))
        return Answer(answer=normal(said.text), version=said.version, log_odds=said.log_odds)
