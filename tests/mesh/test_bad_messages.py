"""Messages that are malformed, torn, deeply nested, too large or of a newer schema hurt nobody but their sender."""

import anyio
import msgspec
import pytest
import zmq

from protocols import limits
from protocols.codec import seal
from protocols.commands import Hello, Publish, pack, parse_response, split
from protocols.errors import SchemaError
from runtime.hub import HubSettings, serve_hub
from runtime.log import Append, Log
from runtime.mesh import connect
from runtime.sockets import Socket, background, open_socket
from tests.builders import round_, trajectory
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 30


def bad() -> dict[str, tuple[bytes, str]]:
    """What is published, and the code of the refusal."""
    whole = seal("trajectories", trajectory(), id="x", producer="simulator-9", seq=1)
    fields = msgspec.msgpack.decode(whole)
    found = {f"cut at {cut}": (whole[:cut], "decode") for cut in range(0, len(whole), len(whole) // 20)}
    turned = bytearray(whole)
    turned[len(turned) // 2] = 0xC1  # a byte that msgpack never uses
    return {
        **found,
        "turned byte": (bytes(turned), "decode"),
        "nested": (b"\x91" * 100_000, "decode"),
        "nested in a field": (msgspec.msgpack.encode({**fields, "body": 0})[:-1] + b"\x91" * 100_000, "decode"),
        "a map of four thousand million": (b"\xdf\xff\xff\xff\xff", "decode"),
        "text that is no text": (msgspec.msgpack.encode({**fields, "id": 0})[:-1] + b"\xa2\xff\xfe", "decode"),
        "over the limit": (whole + b"\0" * limits.MESSAGE_BYTES, "too_large"),
        "newer": (msgspec.msgpack.encode({**fields, "schema": limits.SCHEMA + 1}), "schema"),
        "another topic": (msgspec.msgpack.encode({**fields, "topic": "nowhere"}), "unknown_topic"),
    }


async def refused(raw: Socket, number: int, data: bytes) -> str:
    """Publishes and returns the refusal's code."""
    await raw.send(pack(number, Publish(), [data]))
    answered, body, _ = split(await raw.receive())
    assert answered == number
    return getattr(parse_response(body), "code", "taken")


async def test_bad_messages_are_refused_by_name_and_their_neighbours_go_on(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            join("trainer") as trainer,
            join("observer") as reader,
            open_socket(zmq.DEALER, connect=hub.endpoint) as raw,
            background() as tasks,
        ):
            await raw.send(pack(1, Hello(role="simulator", instance="simulator-9")))
            await raw.receive()
            said: list[int] = []

            async def go_on() -> None:
                while True:
                    said.append(await trainer.publish("rounds", round_(len(said)), id=str(len(said))))

            tasks.start_soon(go_on)
            for number, (name, (data, code)) in enumerate(bad().items(), 2):
                assert await refused(raw, number, data) == code, name
            before = len(said)
            while len(said) < before + 3:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
            async with reader.subscribe("rounds", "trajectories", start="start") as stream:
                assert {delivery.topic async for delivery in stream.past()} == {"rounds"}


async def test_a_frame_over_the_limit_of_the_socket_ends_its_senders_connection_alone(
    hub: HubSettings, join: Joiner
) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, connect(hub.endpoint, role="simulator", instance="s") as sender:
            await sender.publish("trajectories", trajectory(1), id="1")
            huge = pack(99, Publish(), [b"\0" * (limits.FRAME_BYTES + 1)])
            await sender._link._socket.send(huge)  # pyright: ignore[reportPrivateUsage]
            await trainer.publish("rounds", round_(1), id="1")
            await sender.publish("trajectories", trajectory(2), id="2")  # on a connection that was made again
            assert await trainer.tail() == 3


async def test_a_newer_message_in_the_log_stops_its_reader_by_name_and_nobody_else(
    hub_settings: HubSettings, join: Joiner
) -> None:
    fields = msgspec.msgpack.decode(seal("rounds", round_(2), id="2", producer="trainer-9", seq=1))
    newer = msgspec.msgpack.encode({**fields, "schema": limits.SCHEMA + 1})
    log = Log(hub_settings.log_file)
    log.write([Append("rounds", "2", newer)])
    log.close()
    with anyio.fail_after(SECONDS):
        async with serve_hub(hub_settings), join("trainer") as trainer, join("simulator") as simulator:
            await simulator.publish("trajectories", trajectory(1), id="1")
            async with trainer.subscribe("rounds", start="start") as stream:
                with pytest.raises(SchemaError, match=r"offset 1: .*upgrade"):
                    await anext(stream)
            async with trainer.subscribe("trajectories", start="start") as stream:
                assert (await anext(stream)).id == "1"
