"""Somebody who has only ZeroMQ, msgpack and protocols/README.md can read and write the mesh."""

import hashlib
from typing import Any

import anyio
import anyio.to_thread
import msgpack
import pytest
import zmq

from protocols.messages import Round, Verdict
from runtime.hub import HubSettings
from tests.builders import round_, trajectory, verdict
from tests.conftest import Joiner

pytestmark = pytest.mark.anyio
SECONDS = 20


class Stranger:
    """A blocking client in twenty lines, as the page describes it."""

    def __init__(self, endpoint: str) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, SECONDS * 1000)
        self.socket.connect(endpoint)
        self.number = 0

    def request(self, op: str, *payload: bytes, **keys: Any) -> tuple[dict[str, Any], list[bytes]]:
        self.number += 1
        number = self.number.to_bytes(8, "big")
        self.socket.send_multipart([b"SELU1", number, msgpack.packb({"op": op, **keys}), *payload])
        magic, echoed, reply, *rest = self.socket.recv_multipart()
        assert (magic, echoed) == (b"SELU1", number)
        return msgpack.unpackb(reply), rest


def envelope(topic: str, id: str, body: dict[str, Any]) -> bytes:
    fields = {"schema": 1, "topic": topic, "id": id, "producer": "stranger", "seq": 1, "time": 0.0, "body": body}
    return msgpack.packb(fields)


def read_all(endpoint: str) -> list[dict[str, Any]]:
    stranger = Stranger(endpoint)
    try:
        assert stranger.request("fetch", topics=["rounds"], after=0)[0]["code"] == "unknown_session"
        assert stranger.request("hello", role="observer", instance="stranger")[0]["op"] == "welcome"
        assert stranger.request("ping")[0]["op"] == "pong"
        found: list[dict[str, Any]] = []
        after = 0
        while len(found) < 3:
            head, envelopes = stranger.request("fetch", topics=["rounds", "verdicts"], after=after, limit=2, wait=5)
            assert len(head["offsets"]) == len(envelopes)
            found += [msgpack.unpackb(data) for data in envelopes]
            after = head["next"]
        refused, _ = stranger.request("fetch", topics=["outcomes"], after=0)
        assert (refused["op"], refused["code"]) == ("refused", "forbidden")
        return found
    finally:
        stranger.socket.close()


async def test_a_stranger_reads_the_log(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        async with join("trainer") as trainer, join("critic") as critic:
            await trainer.publish("rounds", round_(1, phase="collect"), id="r1/collect")
            await critic.publish("verdicts", verdict(trajectory(4), success=False), id="v")
            await trainer.publish("rounds", round_(2), id="r2/collect")
            found = await anyio.to_thread.run_sync(read_all, hub.endpoint)
    assert [(e["topic"], e["id"], e["schema"]) for e in found] == [
        ("rounds", "r1/collect", 1),
        ("verdicts", "v", 1),
        ("rounds", "r2/collect", 1),
    ]
    assert found[0]["body"]["type"] == "round"
    assert found[1]["body"]["success"] is False
    assert found[1]["body"]["trajectory"] == "r1-00004"


def take_part(endpoint: str) -> None:
    stranger = Stranger(endpoint)
    try:
        stranger.request("hello", role="trainer", instance="stranger")
        body = {"type": "round", "number": 7, "phase": "collect", "quota": 1, "actor_version": 0, "critic_version": 0}
        published, _ = stranger.request("publish", envelope("rounds", "r7/collect", body))
        again, _ = stranger.request("publish", envelope("rounds", "r7/collect", body))
        assert published["offsets"] == again["offsets"]
        leased, payload = stranger.request("pull", group="strangers", topic="rounds")
        assert leased["offsets"] == published["offsets"]
        assert msgpack.unpackb(payload[0])["body"]["number"] == 7
        done, _ = stranger.request("acknowledge", group="strangers", topic="rounds", offsets=leased["offsets"])
        assert done["op"] == "done"
        blob = b"pixels"
        digest = hashlib.sha256(blob).hexdigest()
        assert stranger.request("putblob", blob, digest=digest, size=len(blob), at=0)[0]["op"] == "done"
        head, pieces = stranger.request("getblob", digest=digest)
        assert (head["size"], pieces) == (len(blob), [blob])
        refused, _ = stranger.request("publish", envelope("rounds", "x", {"type": "round", "number": -1}))
        assert (refused["op"], refused["code"]) == ("refused", "decode")
    finally:
        stranger.socket.close()


async def test_a_stranger_publishes_shares_work_and_stores_blobs(hub: HubSettings, join: Joiner) -> None:
    with anyio.fail_after(SECONDS):
        await anyio.to_thread.run_sync(take_part, hub.endpoint)
        async with join("dashboard") as reader, reader.subscribe("rounds", start="start") as stream:
            found = (await anext(stream)).message
            assert isinstance(found, Round)
            assert found.number == 7


async def test_a_stranger_follows_the_fan_out(hub: HubSettings, join: Joiner) -> None:
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVTIMEO, SECONDS * 1000)
    socket.subscribe(b"verdicts")
    socket.connect(hub.fanout)
    try:
        with anyio.fail_after(SECONDS):
            async with join("critic") as critic, anyio.create_task_group() as tasks:

                async def repeat() -> None:
                    while True:
                        await critic.publish("verdicts", verdict(trajectory()))

                tasks.start_soon(repeat)
                topic, data, head = await anyio.to_thread.run_sync(socket.recv_multipart)
                tasks.cancel_scope.cancel()
        assert topic == b"verdicts"
        assert msgpack.unpackb(head)["offset"] >= 1
        assert msgpack.unpackb(data)["body"]["type"] == Verdict.__name__.lower()
    finally:
        socket.close()
