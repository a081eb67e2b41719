"""Calls through the mesh, and what becomes of them and of consumers when a server or the hub dies."""

from contextlib import AsyncExitStack

import anyio
import anyio.abc
import pytest

from protocols.errors import DeadlineExceeded, NotFound, RemoteError, Unavailable
from protocols.messages import Act, Action
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh
from tests.builders import act, round_
from tests.conftest import Joiner
from tests.runtime.reading import numbers

pytestmark = pytest.mark.anyio
SECONDS = 20


async def test_calls_reach_a_server_and_errors_come_back_by_name(hub: HubSettings, join: Joiner) -> None:
    async def answer(request: Act) -> Action:
        if request.episode == "missing":
            raise NotFound("no such frame")
        if request.episode == "broken":
            raise ZeroDivisionError("oops")
        return Action(action=f"find {request.episode}", version=3)

    with anyio.fail_after(SECONDS):
        async with join("actor") as actor, join("simulator") as caller, anyio.create_task_group() as tasks:

            async def serve() -> None:
                await actor.serve("act", answer, capacity=4)

            tasks.start_soon(serve)
            assert await caller.call("act", act("mug"), timeout=10) == Action(action="find mug", version=3)
            with pytest.raises(NotFound, match="no such frame"):
                await caller.call("act", act("missing"), timeout=10)
            with pytest.raises(RemoteError, match="actor-0: ZeroDivisionError: oops"):
                await caller.call("act", act("broken"), timeout=10)
            tasks.cancel_scope.cancel()


async def test_a_call_nobody_serves_and_one_nobody_answers_end_at_their_deadline(
    hub: HubSettings, join: Joiner
) -> None:
    async def never(_: Act) -> Action:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(SECONDS):
        async with join("actor") as actor, join("simulator") as caller, anyio.create_task_group() as tasks:
            with pytest.raises(Unavailable, match="nobody serves 'act'"):
                await caller.call("act", act(), timeout=0.2)

            async def serve() -> None:
                await actor.serve("act", never, capacity=4)

            tasks.start_soon(serve)
            with pytest.raises(DeadlineExceeded):
                await caller.call("act", act(), timeout=0.5)
            tasks.cancel_scope.cancel()


async def test_a_call_outlives_the_death_of_its_server(hub: HubSettings, join: Joiner) -> None:
    reached = anyio.Event()

    async def hang(_: Act) -> Action:
        reached.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def answer(_: Act) -> Action:
        return Action(action="done", version=0)

    async def serve(mesh: Mesh, handler: object) -> None:
        await mesh.serve("act", handler, capacity=1)  # type: ignore[arg-type]

    with anyio.fail_after(SECONDS):
        async with join("simulator") as caller, anyio.create_task_group() as tasks:
            results: list[Action] = []
            answered = anyio.Event()

            async def call() -> None:
                results.append(await caller.call("act", act(), timeout=15))
                answered.set()

            async with AsyncExitStack() as first:
                dying = await first.enter_async_context(join("actor", "actor-0"))
                serving = await first.enter_async_context(anyio.create_task_group())
                serving.start_soon(serve, dying, hang)
                tasks.start_soon(call)
                await reached.wait()
                serving.cancel_scope.cancel()
            async with join("actor", "actor-0") as reborn, anyio.create_task_group() as serving:
                serving.start_soon(serve, reborn, answer)
                await answered.wait()
                serving.cancel_scope.cancel()
            assert results == [Action(action="done", version=0)]


async def host(settings: HubSettings, *, task_status: anyio.abc.TaskStatus[anyio.CancelScope]) -> None:
    """Runs a hub until the scope it reports is cancelled."""
    with anyio.CancelScope() as scope:
        async with serve_hub(settings):
            task_status.started(scope)
            await anyio.sleep_forever()


async def test_clients_go_on_when_the_hub_comes_back(hub_settings: HubSettings, join: Joiner) -> None:
    async def answer(_: Act) -> Action:
        return Action(action="done", version=0)

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as hubs:
            first = await hubs.start(host, hub_settings)
            async with (
                join("trainer") as trainer,
                join("actor") as actor,
                join("critic") as critic,
                critic.consume("rounds", group="g") as consumer,
                anyio.create_task_group() as tasks,
            ):

                async def serve() -> None:
                    await actor.serve("act", answer, capacity=1)

                tasks.start_soon(serve)
                await trainer.call("act", act(), timeout=10)
                await trainer.publish("rounds", round_(1), id="1")
                held = await anext(consumer)
                first.cancel()
                published: list[int] = []

                async def publish() -> None:
                    published.append(await trainer.publish("rounds", round_(2), id="2"))

                tasks.start_soon(publish)
                await anyio.wait_all_tasks_blocked()
                assert not published
                await hubs.start(host, hub_settings)
                assert (await trainer.call("act", act(), timeout=10)).action == "done"
                assert await numbers(trainer, 2) == [1, 2]
                again = await anext(consumer)
                assert (again.offset, again.id) == (held.offset, "1")
                tasks.cancel_scope.cancel()
            hubs.cancel_scope.cancel()
