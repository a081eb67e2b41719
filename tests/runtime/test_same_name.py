"""Two processes of one name: observers without a key share it, and with a key the newer one has it, for good."""

import anyio
import msgspec
import pytest

from protocols import commands as c
from protocols.errors import Replaced
from runtime.hub import HubSettings
from runtime.link import hello_now
from runtime.mesh import Mesh
from runtime.sockets import Socket
from tests.builders import round_
from tests.conftest import Joiner
from tests.runtime.keyed import Keyed
from tests.runtime.reading import numbers

pytestmark = pytest.mark.anyio
SECONDS = 20
PINGS = 5


def hellos(mesh: Mesh) -> int:
    return mesh._link.hellos  # pyright: ignore[reportPrivateUsage]


async def pinged(*meshes: Mesh) -> None:
    """Returns once each has asked the hub some more times."""
    for _ in range(PINGS):
        for mesh in meshes:
            await mesh.status()


async def test_observers_without_a_key_share_a_name_and_both_hear_everything(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("observer", "me") as one, join("observer", "me") as other:
            for number in range(3):
                await trainer.publish("rounds", round_(number))
            assert await numbers(one, 3) == await numbers(other, 3) == [0, 1, 2]
            await pinged(one, other)
            assert hellos(one) == hellos(other) == 1


async def test_with_a_key_the_newer_one_stays_and_the_older_one_is_told(keyed: Keyed) -> None:
    key = keyed.key("anna", "observer")
    with anyio.fail_after(SECONDS):
        async with keyed.show(key) as older, keyed.show(key, name="anna/2") as beside, keyed.show(key) as newer:
            with pytest.raises(Replaced, match="another process has joined as anna with the same key"):
                await older.status()
            with pytest.raises(Replaced):
                await older.tail()
            await pinged(newer, beside)
            assert [hellos(mesh) for mesh in (older, newer, beside)] == [1, 1, 1]


async def test_a_service_that_waits_for_messages_is_told_too(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed.join("critic") as older, older.subscribe("rounds") as stream, keyed.join("critic") as newer:
            with pytest.raises(Replaced):
                async for _ in stream:
                    pass
            await pinged(newer)
            assert hellos(newer) == 1


async def test_a_restarted_service_takes_over_what_the_one_before_it_held(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(hub.session_seconds / 2):  # before the hub would give it back by itself
        async with join("trainer") as trainer, join("critic") as older:
            await trainer.publish("rounds", round_(1))
            async with older.consume("rounds", group="critic") as held:
                async for delivery in held:
                    assert delivery.message == round_(1)
                    async with join("critic") as newer, newer.consume("rounds", group="critic") as again:
                        async for other in again:
                            assert other.message == round_(1)
                            break
                    break


async def answer(raw: Socket, hello: c.Hello) -> c.Response:
    await raw.send(c.pack(1, hello))
    return c.parse_response((await raw.receive())[2])


async def test_a_hello_that_arrives_after_that_of_a_newer_client_does_not_take_the_name_back(keyed: Keyed) -> None:
    key = keyed.key("anna", "observer")
    late = hello_now("observer", "anna")
    with anyio.fail_after(SECONDS):
        async with keyed.show(key) as newer, keyed.raw(key) as older:
            for _ in range(2):
                reply = await answer(older, late)
                assert isinstance(reply, c.Refused) and reply.code == Replaced.code
            await pinged(newer)
            assert hellos(newer) == 1


@pytest.mark.parametrize(
    "changes", [{"boot": "another machine"}, {"boot": "", "began": 0}], ids=["elsewhere", "unknown"]
)
async def test_of_clients_whose_beginnings_cannot_be_compared_the_last_to_say_hello_stays(
    keyed: Keyed, changes: dict[str, str | int]
) -> None:
    key = keyed.key("anna", "observer")
    hello = msgspec.structs.replace(hello_now("observer", "anna"), **changes)
    with anyio.fail_after(SECONDS):
        async with keyed.show(key) as first, keyed.raw(key) as last:
            assert isinstance(await answer(last, hello), c.Welcome)
            with pytest.raises(Replaced):
                await first.status()
