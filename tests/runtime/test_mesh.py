"""What the mesh promises its users, over real sockets and a real hub."""

from contextlib import AsyncExitStack

import anyio
import anyio.abc
import pytest

from protocols import limits
from protocols.errors import (
    DeadlineExceeded,
    DecodeError,
    Forbidden,
    NotFound,
    RemoteError,
    TooLarge,
    Unavailable,
    UnknownTopic,
)
from protocols.messages import Act, Action, Fault, Outcome, Progress, Round
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect
from tests.builders import act, round_, trajectory, verdict
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 20


async def numbers(mesh: Mesh, count: int, *, start: int | str = "start") -> list[int]:
    found: list[int] = []
    async with mesh.subscribe("rounds", start=start) as stream:  # type: ignore[arg-type]
        async for delivery in stream:
            assert isinstance(delivery.message, Round)
            found.append(delivery.message.number)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_a_late_subscriber_reads_the_past_then_the_live_tail(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("dashboard") as reader:
            for number in range(5):
                await trainer.publish("rounds", round_(number))
            found: list[int] = []

            async def read() -> None:
                found.extend(await numbers(reader, 10))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                for number in range(5, 10):
                    await trainer.publish("rounds", round_(number))
            assert found == list(range(10))


async def test_a_subscription_can_start_at_an_offset_or_now(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("dashboard") as reader:
            offsets = [await trainer.publish("rounds", round_(number)) for number in range(4)]
            assert await numbers(reader, 2, start=offsets[2]) == [2, 3]
            async with reader.subscribe("rounds", start="now") as stream:
                await trainer.publish("rounds", round_(9))
                async for delivery in stream:
                    assert delivery.message == round_(9)
                    break
            assert await reader.tail() == offsets[-1] + 1


async def test_several_topics_come_in_the_order_of_the_log(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("simulator") as simulator, join("critic") as critic:
            for index in range(3):
                await simulator.publish("trajectories", trajectory(index), id=f"t{index}")
                await critic.publish("verdicts", verdict(trajectory(index)), id=f"t{index}")
            seen: list[tuple[str, str]] = []
            async with critic.subscribe("verdicts", "trajectories", start="start") as stream:
                async for delivery in stream:
                    seen.append((delivery.topic, delivery.id))
                    if len(seen) == 6:
                        break
            assert seen == [(topic, f"t{i}") for i in range(3) for topic in ("trajectories", "verdicts")]


async def test_the_same_id_twice_is_one_message(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer:
            first = await trainer.publish("rounds", round_(1), id="r1")
            assert await trainer.publish("rounds", round_(2), id="r1") == first
            await trainer.publish("rounds", round_(3), id="r3")
            assert await numbers(trainer, 2) == [1, 3]


async def test_group_members_share_a_topic_and_nobody_gets_twice_what_is_done(hub: HubSettings, join: Joiner) -> None:
    seen: list[int] = []

    async def work(mesh: Mesh, until: int) -> None:
        async with mesh.consume("rounds", group="g", max_in_flight=3, until=until) as stream:
            async for delivery in stream:
                assert isinstance(delivery.message, Round)
                seen.append(delivery.message.number)
                await delivery.ack()

    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("critic", "critic-0") as one, join("critic", "critic-1") as two:
            for number in range(40):
                await trainer.publish("rounds", round_(number))
            tail = await trainer.tail()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work, one, tail)
                tasks.start_soon(work, two, tail)
            assert sorted(seen) == list(range(40))
            assert (await trainer.status()).lag == {"g:rounds": 0}


async def test_what_a_member_leaves_unfinished_goes_to_another(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("critic", "critic-1") as heir:
            for number in range(3):
                await trainer.publish("rounds", round_(number))
            async with (
                join("critic", "critic-0") as leaver,
                leaver.consume("rounds", group="g", max_in_flight=3) as stream,
            ):
                held = [await anext(stream) for _ in range(3)]
                await held[1].ack()
            async with heir.consume("rounds", group="g", until=await heir.tail()) as stream:
                rest = [await anext(stream) for _ in range(2)]
                assert [d.message.number for d in rest if isinstance(d.message, Round)] == [0, 2]
                assert all(d.redelivered for d in rest)
                for delivery in rest:
                    await delivery.ack()
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)


async def test_a_consumer_never_holds_more_than_it_asked_for(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("critic") as critic:
            for number in range(10):
                await trainer.publish("rounds", round_(number))
            async with critic.consume("rounds", group="g", max_in_flight=2) as stream:
                first, second = await anext(stream), await anext(stream)
                with anyio.move_on_after(0.2) as waited:
                    await anext(stream)
                assert waited.cancelled_caught
                await first.ack()
                assert (await anext(stream)).offset > second.offset


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


async def test_roles_may_do_only_what_their_topics_allow(hub: HubSettings, join: Joiner) -> None:
    outcome = Outcome(trajectory="t", round=1, success=True)
    with anyio.fail_after(SECONDS):
        async with AsyncExitStack() as stack:
            for role in ("trainer", "actor", "critic", "relabeler", "dashboard", "simulator"):
                mesh = await stack.enter_async_context(join(role))
                async with mesh.subscribe("outcomes", start="start") as stream:
                    with pytest.raises(Forbidden, match=f"{role} may not read outcomes"):
                        await anext(stream)
                async with mesh.consume("outcomes", group="sly") as consumer:
                    with pytest.raises(Forbidden):
                        await anext(consumer)
            with pytest.raises(Forbidden, match="critic may not publish on outcomes"):
                await (await stack.enter_async_context(join("critic", "c"))).publish("outcomes", outcome)
            simulator = await stack.enter_async_context(join("simulator", "s"))
            await simulator.publish("outcomes", outcome)
            evaluator = await stack.enter_async_context(join("evaluator"))
            async with evaluator.subscribe("outcomes", start="start") as stream:
                assert (await anext(stream)).message == outcome


async def test_truth_is_not_fanned_out(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("simulator") as simulator, join("spy") as spy, spy.listen("outcomes", "faults") as live:
            fault = Fault(service="s", what="w", why="y")
            async with anyio.create_task_group() as tasks:

                async def repeat() -> None:
                    while True:
                        await simulator.publish("outcomes", Outcome(trajectory="t", round=1, success=True))
                        await simulator.publish("faults", fault)

                tasks.start_soon(repeat)
                assert (await anext(live)).message == fault
                tasks.cancel_scope.cancel()


async def test_live_messages_reach_listeners(hub: HubSettings, join: Joiner) -> None:
    said = Progress(role="trainer", what="training", done=1, total=2)
    with anyio.fail_after(SECONDS):
        async with (
            join("trainer") as trainer,
            join("dashboard") as reader,
            reader.listen("progress") as live,
            anyio.create_task_group() as tasks,
        ):

            async def repeat() -> None:
                while True:
                    await trainer.emit("progress", said)
                    await anyio.sleep(0.01)

            tasks.start_soon(repeat)
            assert (await anext(live)).message == said
            tasks.cancel_scope.cancel()


async def test_blobs_travel_through_the_hub_in_pieces(hub: HubSettings, join: Joiner) -> None:
    data = bytes(range(256)) * (limits.CHUNK_BYTES // 128)
    with anyio.fail_after(SECONDS):
        async with join("simulator") as one, join("critic") as other:
            digest = await one.put_blob(data)
            assert await one.put_blob(data) == digest
            assert await other.get_blob(digest) == data
            assert await other.get_blob(await one.put_blob(b"")) == b""
            with pytest.raises(NotFound, match="no blob"):
                await other.get_blob("0" * 64)
            with pytest.raises(DecodeError, match="digest"):
                await other.get_blob("../../etc/passwd")


async def test_misuse_is_named(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer:
            with pytest.raises(UnknownTopic, match="rounds"):
                await trainer.publish("round", round_(1))
            with pytest.raises(DecodeError, match="rounds carries Round"):
                await trainer.publish("rounds", trajectory())
            with pytest.raises(DecodeError, match="listen"):
                async with trainer.subscribe("health"):
                    pass
            with pytest.raises(NotFound, match="the calls are act, ask"):
                await trainer.call("fly", act(), timeout=1)
            with pytest.raises(TooLarge):
                await trainer.publish("faults", Fault(service="s", what="w" * limits.MESSAGE_BYTES, why=""))


async def test_no_hub_at_the_endpoint_is_an_error_that_says_so(hub_settings: HubSettings) -> None:
    with anyio.fail_after(SECONDS), pytest.raises(DeadlineExceeded, match="is the run up"):
        async with connect(hub_settings.endpoint, role="critic", instance="c", timeout=0.2):
            pass


async def test_an_endpoint_in_use_is_an_error_that_names_it(hub_settings: HubSettings) -> None:
    taken = HubSettings(
        endpoint="tcp://127.0.0.1:0",
        fanout="tcp://127.0.0.1:0",
        log_file=hub_settings.log_file,
        blobs=hub_settings.blobs,
    )
    with anyio.fail_after(SECONDS):
        async with serve_hub(taken) as running:
            address = running.address
            clash = HubSettings(
                endpoint=address, fanout="tcp://127.0.0.1:0", log_file=hub_settings.log_file, blobs=hub_settings.blobs
            )
            with pytest.raises(OSError, match=r"cannot open tcp://127\.0\.0\.1:"):
                async with serve_hub(clash):
                    pass


async def test_a_malformed_request_is_refused_and_hurts_nobody(hub: HubSettings, join: Joiner) -> None:
    import zmq

    from runtime.sockets import open_socket

    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, open_socket(zmq.DEALER, connect=hub.endpoint) as raw:
            for frames in ([b""], [b"SELU1", b"\0" * 8, b"\x91" * 5000], [b"SELU1", b"\0" * 8, b"\x00"], [b"GET /"]):
                await raw.send(frames)
                reply = await raw.receive()
                assert b"refused" in reply[2]
            await trainer.publish("rounds", round_(1))
            assert (await trainer.status()).counts["malformed"] == 4
