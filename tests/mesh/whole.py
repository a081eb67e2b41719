"""A whole mesh inside one process: a real hub, real sockets, and every service as a task, with scripted models."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import anyio

from protocols.messages import Evaluation, Message, Round
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect
from runtime.runfolder import RunFolder
from runtime.service import Service
from runtime.sockets import background
from runtime.streams import Delivery
from services.evaluator.state import due
from services.settings import Alarms, Evaluator, Model, Run, Settings, Simulator

ROLES = ("simulator", "actor", "critic", "relabeler", "trainer", "evaluator")

SMALL = Settings(
    run=Run(rounds=2),
    model=Model(engine="scripted"),
    simulator=Simulator(quota=30, episodes=8),
    evaluator=Evaluator(tasks=8, judgements=10, episodes=4),
    alarms=Alarms(few_rows=0, agreement=0.0),  # so few trajectories are too few, and scripted critics forgetful
)


class Whole:
    """A running mesh. ``start`` and ``kill`` a service; ``endpoint`` is where the next ones find the hub."""

    def __init__(self, run: RunFolder, hub: HubSettings, settings: Settings, tasks: anyio.abc.TaskGroup) -> None:
        self.run = run
        self.hub = hub
        self.settings = settings
        self.endpoint = hub.endpoint
        self._tasks = tasks
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._ended: dict[str, anyio.Event] = {}

    def connect(self, role: str, instance: str):
        return connect(self.endpoint, role=role, instance=instance, run=self.run)

    def start(self, role: str, instance: str = "") -> None:
        instance = instance or f"{role}-0"
        self._scopes[instance], self._ended[instance] = anyio.CancelScope(), anyio.Event()
        self._tasks.start_soon(self._live, role, instance)

    async def _live(self, role: str, instance: str) -> None:
        ended = self._ended[instance]
        try:
            with self._scopes[instance]:
                async with self.connect(role, instance) as mesh:
                    service = Service(
                        role=role, instance=instance, mesh=mesh, run=self.run, settings=self.settings
                    )  # fmt: skip
                    await import_module(f"services.{role}.service").main(service)
        finally:
            ended.set()

    async def kill(self, instance: str) -> None:
        """Ends a service wherever it stands."""
        self._scopes[instance].cancel()
        await self._ended[instance].wait()


@asynccontextmanager
async def whole_mesh(folder: Path, settings: Settings, roles: Sequence[str] = ROLES) -> AsyncGenerator[Whole]:
    run = RunFolder.create(folder / "run")
    hub = HubSettings(
        endpoint=f"ipc://{folder}/hub", fanout=f"ipc://{folder}/fan", log_file=run.log_file, blobs=run.blobs,
        session_seconds=5.0, ping_seconds=0.1,
    )  # fmt: skip
    async with serve_hub(hub), background() as tasks:
        whole = Whole(run, hub, settings, tasks)
        for role in roles:
            whole.start(role)
        yield whole


async def until_over(mesh: Mesh) -> list[Delivery]:
    """Everything in the log, once the last round is finished and every version measured."""
    topics = ("trajectories", "verdicts", "relabels", "adapters", "swaps", "rounds", "dropped", "evaluations", "faults")
    seen: list[Delivery] = []
    finished = False
    async with mesh.subscribe(*topics, start="start") as stream:
        async for delivery in stream:
            seen.append(delivery)
            finished = finished or (isinstance(delivery.message, Round) and delivery.message.phase == "finished")
            told = isinstance(delivery.message, Evaluation | Round)
            if finished and told and not due(item.message for item in seen):
                return seen
    raise AssertionError("a subscription has no end")


def of(log: Sequence[Delivery], kind: type[Message]) -> list:  # type: ignore[type-arg]
    return [delivery.message for delivery in log if isinstance(delivery.message, kind)]
