"""What topics, groups, listeners and blobs promise, over real sockets and a real hub."""

import anyio
import anyio.abc
import pytest

from protocols import limits
from protocols.errors import DecodeError, NotFound
from protocols.messages import Fault, Outcome, Progress, Round
from runtime.hub import HubSettings
from runtime.mesh import Mesh
from tests.builders import round_, trajectory, verdict
from tests.conftest import Joiner
from tests.runtime.reading import numbers

pytestmark = pytest.mark.anyio
SECONDS = 20


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
