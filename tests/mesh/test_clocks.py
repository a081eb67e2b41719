"""Clocks that jump, and machines that sleep: nothing orders by the time of day, and sessions outlive a sleep."""

import itertools
import time

import anyio
import pytest

from protocols.errors import DeadlineExceeded, Unavailable
from protocols.messages import Act, Action, Ask, Round
from runtime.hub import HubSettings, serve_hub
from runtime.sockets import background
from tests.builders import FRAME, act, round_
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 30


async def test_the_time_of_day_may_jump_and_orders_nothing(
    hub: HubSettings, join: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([0.0, 4e9, -1e6, 1.8e9, 1.0])
    monkeypatch.setattr("protocols.codec.time.time", lambda: next(jumps))
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("critic") as critic:
            for number in range(10):
                await trainer.publish("rounds", round_(number), id=str(number))
            async with critic.consume("rounds", group="g", until=await critic.tail()) as stream:
                handled = []
                async for delivery in stream:
                    assert isinstance(delivery.message, Round)
                    handled.append(delivery.message.number)
                    await delivery.ack()
            assert handled == list(range(10))
            assert (await trainer.status()).sessions.keys() == {"trainer-0", "critic-0"}


class Sleeper:
    """Stands in for the module `time` wherever the hub reads it: the machine can be sent to sleep."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.slept


async def test_after_a_sleep_of_hours_everybody_is_still_there_and_nothing_is_lost(
    hub_settings: HubSettings, join: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Sleeper()
    for module in ("runtime.hub", "runtime.sessions"):
        monkeypatch.setattr(f"{module}.time", clock)

    async def answer(_: Act) -> Action:
        return Action(action="done", version=0)

    with anyio.fail_after(SECONDS):
        async with (
            serve_hub(hub_settings),
            join("trainer") as trainer,
            join("actor") as actor,
            join("critic") as critic,
            critic.consume("rounds", group="g", max_in_flight=2) as stream,
            background() as tasks,
        ):

            async def serve() -> None:
                await actor.serve("act", answer, capacity=1)

            tasks.start_soon(serve)
            for number in range(4):
                await trainer.publish("rounds", round_(number), id=str(number))
            held = [await anext(stream) for _ in range(2)]
            assert (await trainer.call("act", act(), timeout=10)).action == "done"
            for _ in range(3):
                clock.slept += 4 * 3600
                await trainer.publish("rounds", round_(9), id=f"after {clock.slept}")
                with pytest.raises(Unavailable):  # once the hub has looked at who is there
                    await trainer.call("ask", Ask(frame=FRAME, question="?"), timeout=0.2)
            hellos = [mesh._link.hellos for mesh in (trainer, actor, critic)]
            assert hellos == [1, 1, 1], "the hub slept, and nobody was silent"
            for delivery in held:
                await delivery.ack()
            said = None
            while said is None:
                try:
                    said = await trainer.call("act", act(), timeout=5)
                except (DeadlineExceeded, Unavailable):
                    continue
            seen: set[str] = set()
            while len(seen) < 5:
                delivery = await anext(stream)
                seen.add(delivery.id)
                await delivery.ack()
            assert seen >= {"2", "3"} and await trainer.tail() == 7
