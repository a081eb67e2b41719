"""What a network between hub and clients sees, and what it can do: nothing that was meant for it."""

import socket
from pathlib import Path

import anyio
import psutil
import pytest
from anyio.abc import SocketStream

from protocols import commands as c
from protocols import limits
from protocols.errors import DecodeError, TooLarge
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import connect
from tests.builders import round_, trajectory, verdict
from tests.runtime.keyed import Keyed, keyed_hub
from tests.runtime.tap import tapped

pytestmark = pytest.mark.anyio
SECONDS = 20

SECRET = "put the apple in the fridge"
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
"""How a connection begins in ZeroMQ's protocol."""


async def test_an_eavesdropper_reads_nothing(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            tapped(keyed.hub.address) as (tap, via),
            keyed.join("critic", via=via) as critic,
            keyed.join("trainer", via=via) as trainer,
        ):
            await critic.publish("verdicts", verdict(trajectory(1)), id=SECRET)
            async with trainer.subscribe("verdicts", start="start") as stream:
                assert (await anext(stream)).id == SECRET
        seen = [bytes(kept) for kept in (*tap.said, *tap.heard)]
    assert len(seen) == 4 and min(map(len, seen)) > 200
    for word in (SECRET.encode(), b"verdicts", b"critic-0", b"hello", b"trainer"):
        assert not any(word in kept for kept in seen)


async def test_without_keys_on_loopback_the_same_wire_can_be_read(short_path: Path) -> None:
    """The eavesdropper of the other test is no worse than it says."""
    plain = HubSettings(
        endpoint="tcp://127.0.0.1:0", fanout="tcp://127.0.0.1:0", log_file=short_path / "l", blobs=short_path / "b"
    )  # fmt: skip
    with anyio.fail_after(SECONDS):
        async with (
            serve_hub(plain) as hub,
            tapped(hub.address) as (tap, via),
            connect(via, role="critic", instance="critic-0") as critic,
        ):
            await critic.publish("verdicts", verdict(trajectory(1)), id=SECRET)
        assert any(SECRET.encode() in kept for kept in tap.said)


async def test_what_was_recorded_has_no_effect_when_it_is_said_again(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with tapped(keyed.hub.address) as (tap, via), keyed.join("trainer", via=via) as trainer:
            await trainer.publish("rounds", round_(1))
            recorded = bytes(tap.said[0])
            # On the connection on which it was said, all that came after the greeting and the handshake.
            await tap.inject(0, recorded[len(recorded) // 2 :])
            await tap.ended[0].wait()  # the hub has ended it
            assert await trainer.publish("rounds", round_(2)) == 2  # and the client is back by itself
            # On a connection of its own, by somebody who has no key.
            async with await anyio.connect_tcp(*keyed.place) as replayed:
                await replayed.send(recorded)
                await ended(replayed)
            assert await trainer.publish("rounds", round_(3)) == 3
            assert (await trainer.status()).counts["published"] == 3


async def test_half_open_connections_by_the_hundred_keep_nobody_out(keyed: Keyed) -> None:
    floods: list[socket.socket] = []
    try:
        for index in range(200):
            floods.append(socket.create_connection(keyed.place))
            if index % 2:  # some begin a handshake and go no further
                floods[-1].sendall(GREETING)
        with anyio.fail_after(SECONDS):
            async with keyed.join("trainer") as trainer:
                for number in range(20):
                    await trainer.publish("rounds", round_(number))
                assert await trainer.tail() == 20
    finally:
        for one in floods:
            one.close()


async def test_a_connection_that_does_not_say_who_it_is_is_ended(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.sockets.HANDSHAKE_MS", 100)
    with anyio.fail_after(SECONDS):
        async with keyed_hub(short_path) as keyed:
            for said in (b"", GREETING):
                async with await anyio.connect_tcp(*keyed.place) as raw:
                    if said:
                        await raw.send(said)
                    await ended(raw)


async def test_a_huge_frame_that_is_only_announced_costs_nothing(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed.join("trainer") as trainer:
            before = psutil.Process().memory_info().rss
            for size in (2**63 - 1, 2**40, 2**31, limits.FRAME_BYTES + 1):
                async with await anyio.connect_tcp(*keyed.place) as raw:
                    await raw.send(GREETING + b"\x06" + size.to_bytes(8, "big") + b"x" * 100)
                    await ended(raw)
            await trainer.publish("rounds", round_(1))
            assert psutil.Process().memory_info().rss - before < 64 * limits.MIB


HUGE = [
    b"\xdd\xff\xff\xff\xff",  # an array of 2^32 - 1
    b"\xdf\xff\xff\xff\xff",  # a map of as many
    b"\xdb\xff\xff\xff\xff",  # a text, a byte string, an extension of 4 GiB
    b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xdc\xff\xff" * 300_000,  # arrays in arrays
    b"\x91" * 900_000,
    b"\x82\xa2op\xa5fetch\xa6topics\xdd\xff\xff\xff\xff",
    b"\x84\xa2op\xa7publish",
]


async def test_a_huge_length_within_a_message_is_refused_before_anything_is_made_of_it(keyed: Keyed) -> None:
    refused = 0
    with anyio.fail_after(SECONDS):
        async with keyed.raw(keyed.key("trainer-0", "trainer")) as raw:
            await raw.send(c.pack(1, c.Hello(role="trainer", instance="trainer-0")))
            assert isinstance(c.parse_response((await raw.receive())[2]), c.Welcome)
            before = psutil.Process().memory_info().rss
            for frame in HUGE:
                await raw.send([c.MAGIC, bytes(8), frame])
                await raw.send(c.pack(2, c.Publish(), [frame]))
                for _ in range(2):
                    reply = c.parse_response((await raw.receive())[2])
                    assert isinstance(reply, c.Refused) and reply.code in (DecodeError.code, TooLarge.code)
                    refused += 1
            assert psutil.Process().memory_info().rss - before < 64 * limits.MIB
    assert refused == 2 * len(HUGE)


async def ended(stream: SocketStream) -> None:
    """Reads until the other side ends the connection."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass
