"""What the mesh refuses, and how it says so."""

from contextlib import AsyncExitStack

import anyio
import anyio.abc
import pytest

from protocols import limits
from protocols.errors import DeadlineExceeded, DecodeError, Forbidden, NotFound, TooLarge, UnknownTopic
from protocols.messages import Fault, Outcome
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import connect
from tests.builders import act, round_, trajectory
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 20


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
