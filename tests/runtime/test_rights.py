"""What each identity may read, say, ask for and join: what its key says, and nothing else."""

import anyio
import pytest
import zmq

from protocols.errors import Forbidden
from protocols.messages import Fault, Outcome
from tests.builders import act, adapter, trajectory, verdict
from tests.runtime.keyed import LEARNING, Keyed, progress, say

pytestmark = pytest.mark.anyio
SECONDS = 20


async def test_no_learning_identity_reads_the_truth(keyed: Keyed) -> None:
    truth = Outcome(trajectory="r1-00001", round=1, success=True, satisfied=("the fridge is open",))
    with anyio.fail_after(SECONDS):
        async with keyed.join("simulator") as simulator, keyed.join("evaluator") as evaluator:
            await simulator.publish("outcomes", truth)
            async with evaluator.subscribe("outcomes", start="start") as stream:
                assert (await anext(stream)).message == truth
        for role in (*LEARNING, "launcher", "observer"):
            async with keyed.join(role) as mesh:
                with pytest.raises(Forbidden, match=f"{role} may not read outcomes"):
                    async with mesh.subscribe("outcomes", "rounds", start="start") as stream:
                        await anext(stream)
                with pytest.raises(Forbidden, match=f"{role} may not read outcomes"):
                    async with mesh.consume("outcomes", group=f"{role}/sly") as stream:
                        await anext(stream)


async def test_the_truth_is_not_on_the_fan_out(keyed: Keyed) -> None:
    truth = Outcome(trajectory="r1-00001", round=1, success=True, satisfied=("the fridge is open",))
    with anyio.fail_after(SECONDS):
        async with (
            keyed.join("simulator") as simulator,
            keyed.raw(keyed.key("anna", "observer"), zmq.SUB, connect=simulator.fanout) as raw,
            anyio.create_task_group() as tasks,
        ):

            async def speak() -> None:
                while True:
                    await simulator.publish("outcomes", truth)
                    await simulator.publish("trajectories", trajectory(1))

            tasks.start_soon(speak)
            heard = [(await raw.receive())[0] for _ in range(5)]
            tasks.cancel_scope.cancel()
    assert heard == [b"trajectories"] * 5


async def test_only_the_trainer_publishes_adapters(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        for role in ("simulator", "actor", "critic", "relabeler", "evaluator", "launcher", "observer"):
            async with keyed.join(role) as mesh:
                with pytest.raises(Forbidden, match=f"{role} may not publish on adapters"):
                    await mesh.publish("adapters", adapter())
        async with keyed.join("trainer") as trainer:
            await trainer.publish("adapters", adapter())


async def test_an_observer_only_reads(keyed: Keyed) -> None:
    async def answer(_: object) -> object:
        raise AssertionError("an observer was asked")

    with anyio.fail_after(SECONDS):
        async with keyed.join("critic") as critic, keyed.join("observer") as observer:
            await critic.publish("verdicts", verdict(trajectory(1)))
            async with observer.consume("verdicts", group="mine") as stream:
                await (await anext(stream)).ack()
            assert await observer.tail() == 1
            with pytest.raises(Forbidden, match="may not publish on faults"):
                await observer.publish("faults", Fault(service="me", what="x", why="y"))
            with pytest.raises(Forbidden, match="neither call nor store"):
                await observer.put_blob(b"x")
            with pytest.raises(Forbidden, match="neither call nor store"):
                await observer.call("act", act(), timeout=1)
            with pytest.raises(Forbidden, match="may not serve 'act'"):
                await observer.serve("act", answer, capacity=1)  # type: ignore[arg-type]
            for group in ("critic", "critic/rejudge@1", "trainer"):
                with pytest.raises(Forbidden, match="may not join the group"):
                    async with observer.consume("verdicts", group=group) as stream:
                        await anext(stream)
            async with observer.listen("progress") as live, anyio.create_task_group() as tasks:
                tasks.start_soon(say, critic, "critic")
                await observer.emit("progress", progress("observer"))
                assert [(await anext(live)).message for _ in range(3)] == [progress("critic")] * 3
                tasks.cancel_scope.cancel()
            assert (await critic.status()).counts["refused_forbidden"] == 8


async def test_nobody_speaks_in_anothers_name(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed.join("critic") as critic:
            critic.instance = "critic-1"
            with pytest.raises(Forbidden, match="critic-0 may not say that 'critic-1' said"):
                await critic.publish("verdicts", verdict(trajectory(1)))
