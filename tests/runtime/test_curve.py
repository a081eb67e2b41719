"""A hub that other machines reach: who gets in, who does not, and who is put out."""

from pathlib import Path

import anyio
import msgspec
import pytest
import zmq

from protocols import commands as c
from protocols import limits
from protocols.errors import DeadlineExceeded, NotAdmitted, ProtocolError
from runtime.hub import serve_hub
from runtime.keys import Key, KeysFolder, read_key
from runtime.mesh import connect
from runtime.settings import SettingsError
from runtime.sockets import Context, Curve, open_socket
from tests.builders import round_
from tests.runtime.keyed import Keyed, curve, drained, hears, keyed_hub, keyed_settings, say

pytestmark = pytest.mark.anyio
SECONDS = 20


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "10.1.2.3", "example.org", "127.0.0.1.example.org"])
@pytest.mark.parametrize("lacking", [{"allowed": ()}, {"key": None}, {"allowed": (), "key": None}])
async def test_a_hub_that_others_could_reach_does_not_start_without_keys(
    short_path: Path, host: str, lacking: dict[str, object]
) -> None:
    keys = KeysFolder(short_path / "keys")
    keys.create()
    for place in ({"endpoint": f"tcp://{host}:5555"}, {"fanout": f"tcp://{host}:5556"}):
        with anyio.fail_after(SECONDS), pytest.raises(SettingsError, match=r"needs keys|a list of the keys"):
            async with serve_hub(keyed_settings(short_path, keys, **lacking, **place)):
                pass


async def test_a_hub_on_all_devices_serves_those_with_keys(short_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed_hub(short_path, endpoint="tcp://0.0.0.0:0", fanout="tcp://0.0.0.0:0") as keyed:
            assert keyed.hub.address.startswith("tcp://0.0.0.0:")
            via = keyed.hub.address.replace("0.0.0.0", "127.0.0.1")
            async with (
                keyed.join("trainer", via=via) as trainer,
                keyed.join("critic", via=via) as critic,
                critic.listen("progress") as live,
            ):
                await hears(live, trainer, "there")


async def test_with_its_key_a_process_takes_part_as_what_the_key_says(keyed: Keyed) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed.join("trainer") as trainer, keyed.join("critic") as critic:
            offset = await trainer.publish("rounds", round_(1))
            async with critic.subscribe("rounds", start="start") as stream:
                assert (await anext(stream)).offset == offset
            blob = await trainer.put_blob(b"w" * (limits.CHUNK_BYTES + 10))
            assert await critic.get_blob(blob) == b"w" * (limits.CHUNK_BYTES + 10)
            assert (await trainer.status()).sessions == {"trainer-0": "trainer", "critic-0": "critic"}


async def test_without_a_key_nobody_gets_in_and_is_told_what_is_missing(keyed: Keyed) -> None:
    # Whether the hub's greeting is read before its end of the connection is seen is the network's choice.
    with anyio.fail_after(SECONDS), pytest.raises(ProtocolError, match=r"asks? for a key"):
        async with keyed.show(None, timeout=2):
            pass


async def test_a_key_that_somebody_made_for_himself_is_turned_away(keyed: Keyed, tmp_path: Path) -> None:
    own = KeysFolder(tmp_path / "own")
    own.create()
    for name, role in (("stranger", "observer"), ("trainer-0", "trainer")):
        key = read_key(own.make(name, role, hub=keyed.keys.hub_key().public))
        with anyio.fail_after(SECONDS), pytest.raises(NotAdmitted, match="does not let this key in"):
            async with keyed.show(key):
                pass


async def test_the_public_half_of_a_key_is_worth_nothing(keyed: Keyed) -> None:
    stolen = msgspec.structs.replace(keyed.key("critic-0", "critic"), secret=keyed.key("anna", "observer").secret)
    with anyio.fail_after(SECONDS), pytest.raises(ProtocolError):
        async with keyed.show(stolen, timeout=0.5):
            pass


async def test_without_anybody_to_ask_about_keys_nobody_gets_in(short_path: Path) -> None:
    """ZeroMQ by itself lets any key in where nothing answers for the hub."""
    keys = KeysFolder(short_path / "keys")
    keys.create()
    hub = keys.hub_key()
    key = read_key(keys.make("anna", "observer", hub=hub.public))
    context = Context()
    with anyio.fail_after(SECONDS):
        async with open_socket(
            zmq.ROUTER, bind="tcp://127.0.0.1:0", curve=Curve(hub.public, hub.secret), context=context
        ) as router:
            with pytest.raises(ProtocolError):
                async with connect(router.address, role="observer", instance="anna", key=key, timeout=0.5):
                    pass
            assert not router.raw.poll(0)
    context.term()


async def test_a_key_for_another_hub_does_not_talk_to_this_one(keyed: Keyed, tmp_path: Path) -> None:
    other = KeysFolder(tmp_path / "other")
    other.create()
    key = msgspec.structs.replace(keyed.key("anna", "observer"), hub=other.hub_key().public)
    with anyio.fail_after(SECONDS), pytest.raises(DeadlineExceeded, match="is the key one for this hub"):
        async with keyed.show(key, timeout=0.5):
            pass


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("trainer", "anna"),
        ("evaluator", "anna"),
        ("launcher", "anna"),
        ("observer", "trainer-0"),
        ("trainer", "trainer-0"),
    ],
)
async def test_a_claim_to_be_somebody_else_is_refused(keyed: Keyed, role: str, name: str) -> None:
    with anyio.fail_after(SECONDS):
        async with keyed.join("trainer") as trainer:
            with pytest.raises(NotAdmitted, match="the key is anna's, for the role observer"):
                async with keyed.show(keyed.key("anna", "observer"), role=role, name=name):
                    pass
            await trainer.publish("rounds", round_(1))  # who was to be put out is still in
            assert (await trainer.status()).sessions == {"trainer-0": "trainer"}


async def test_who_says_hello_for_one_key_and_speaks_under_another_is_nobody(keyed: Keyed) -> None:
    """ZeroMQ lets a client choose by which name the hub sees its connection: here, a name that has a session."""
    trainer, anna = keyed.key("trainer-0", "trainer"), keyed.key("anna", "observer")
    name = b"chosen"

    async def ask(key: Key, *commands: c.Command) -> list[c.Response]:
        async with open_socket(zmq.DEALER, curve=curve(key)) as raw:
            raw.raw.setsockopt(zmq.ROUTING_ID, name)
            raw.connect(keyed.hub.address)
            for number, command in enumerate(commands, 1):
                await raw.send(c.pack(number, command))
            return [c.parse_response((await raw.receive())[2]) for _ in commands]

    with anyio.fail_after(SECONDS):
        welcome, _ = await ask(trainer, c.Hello(role="trainer", instance="trainer-0"), c.Ping())
        assert isinstance(welcome, c.Welcome)
        while True:  # until the hub has seen that the first is gone, the second cannot have its name
            with anyio.move_on_after(1):
                (said,) = await ask(anna, c.Status())
                break
    assert isinstance(said, c.Refused) and said.code == c.UNKNOWN_SESSION


async def test_a_revoked_key_is_put_out_and_the_others_go_on(keyed: Keyed) -> None:
    anna = keyed.key("anna", "observer")
    with anyio.fail_after(SECONDS):
        async with (
            keyed.join("trainer") as trainer,
            keyed.join("critic") as critic,
            keyed.show(anna) as mesh,
            critic.listen("progress") as others,
            keyed.raw(anna, zmq.SUB, connect=mesh.fanout) as hers,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(say, trainer, "before")
                await hers.receive()
                tasks.cancel_scope.cancel()
            keyed.keys.revoke("anna")
            with pytest.raises(NotAdmitted, match="revoked"):
                while True:
                    await mesh.tail()
            await hears(others, trainer, "after")
            assert not any(b"after" in frame for frame in drained(hers))
            with pytest.raises(NotAdmitted, match="does not let this key in"):
                async with keyed.show(anna):
                    pass
            await trainer.publish("rounds", round_(1))
            assert (await trainer.status()).sessions == {"trainer-0": "trainer", "critic-0": "critic"}


async def test_a_key_whose_role_is_changed_is_put_out_until_it_says_so_too(keyed: Keyed) -> None:
    anna = keyed.key("anna", "trainer")
    with anyio.fail_after(SECONDS):
        async with keyed.show(anna) as mesh:
            await mesh.publish("rounds", round_(1))
            keyed.keys.allowed_file.write_text(f"anna observer {anna.proof}\n")
            with pytest.raises(NotAdmitted, match="for the role observer"):
                while True:
                    await mesh.tail()
        async with keyed.show(anna, role="observer") as mesh:
            assert await mesh.tail() == 1
