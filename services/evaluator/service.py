"""The evaluator process: measures served versions on held-out tasks and audits labels. The only reader of outcomes."""

from functools import partial

import anyio

from protocols.messages import Adapter, Estimate, Evaluation, Outcome, Relabel, Role, Round, Swap, Verdict
from runtime.service import Service
from services.evaluator.audit import Audit
from services.evaluator.measuring import Measuring
from services.evaluator.state import ROLES, EvaluatorState
from services.patience import Changes
from services.settings import Settings

TOPICS = ("rounds", "adapters", "swaps", "evaluations", "outcomes", "verdicts", "relabels")


async def main(service: Service) -> None:
    """Measures until cancelled. Versions with an evaluation in the log are not measured again."""
    settings: Settings = service.settings
    if not settings.evaluator.enabled:
        service.set_ready()
        await anyio.sleep_forever()
    evaluator = Evaluator(service)
    try:
        async with service.mesh.subscribe(*TOPICS, start="start") as stream, anyio.create_task_group() as tasks:
            async for delivery in stream.past():
                evaluator.apply(delivery.message)
            await evaluator.measuring.begin(tasks)
            for role in ROLES:
                tasks.start_soon(evaluator.measure_all, role)
            service.set_ready()
            async for delivery in stream:
                evaluator.apply(delivery.message)
    finally:
        evaluator.measuring.close()


class Evaluator:
    """Carries out what `EvaluatorState` and `Audit` determine."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._state = EvaluatorState()
        self._audit = Audit()
        self._changes = Changes()
        self.measuring = Measuring(service, self._state, self._changes)

    def apply(self, message: object) -> None:
        match message:
            case Round() | Adapter() | Swap() | Evaluation():
                self._state.apply(message)
                self._audit.forget_before(self._state.oldest_due)
                if self._state.finished:
                    self.measuring.hurry()
            case Outcome() | Verdict() | Relabel():
                self._audit.apply(message)
            case _:
                raise AssertionError(f"not subscribed to {type(message).__name__}")
        self._changes.notify()

    async def _labels(self, role: Role, version: int) -> dict[str, Estimate]:
        """The audit of the rows that the version was trained on."""
        adapter = self._state.adapter(role, version)
        if adapter is None:
            return {}
        return self._audit.labels(role, adapter.round, await self._service.mesh.get_blob(adapter.dataset))

    async def measure_all(self, role: str) -> None:
        """Measures the versions of the role one after another, when each becomes ready."""
        assert role == "actor" or role == "critic"
        while True:
            version = await self._changes.until(partial(self._state.ready, role))
            begun = anyio.current_time()
            score, by_task, extra = await self.measuring.measure(role, version)
            labels = await self._labels(role, version)
            evaluation = Evaluation(
                role=role, version=version, round=version, score=score, by_task=by_task, extra=extra, labels=labels,
                seconds=anyio.current_time() - begun,
            )  # fmt: skip
            await self._service.mesh.publish("evaluations", evaluation, id=f"{role}@{version}")
            self.apply(evaluation)
