"""The codec gives back what was said, and calls everything else by its name."""

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import limits
from protocols.codec import adapter_digest, decoder, digest, seal, unseal
from protocols.commands import MAGIC, Hello, Publish, pack, parse_request, split
from protocols.errors import DecodeError, ProtocolError, SchemaError, TooLarge, UnknownTopic, from_code
from protocols.messages import Fault, Round, Task, Trajectory
from tests.builders import FRAME, round_, task, trajectory, verdict


@settings(max_examples=300)
@given(
    data=st.data(),
    cut=st.integers(0, 500),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=4),
)
def test_damaged_bytes_raise_only_protocol_errors(data: st.DataObject, cut: int, flips: list[tuple[int, int]]) -> None:
    raw = bytearray(seal("trajectories", trajectory(), id="t", producer="simulator-0", seq=1))
    for at, mask in flips:
        raw[at % len(raw)] ^= mask
    damaged = bytes(raw[: max(0, len(raw) - cut)])
    with contextlib.suppress(ProtocolError):
        unseal(damaged)


@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_protocol_errors(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        unseal(raw)


def test_deep_nesting_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        unseal(b"\x91" * 200_000)


def test_a_newer_schema_is_named_as_such() -> None:
    raw = msgspec.msgpack.encode({"schema": limits.SCHEMA + 1, "whatever": "comes"})
    with pytest.raises(SchemaError, match="upgrade"):
        unseal(raw)


def test_unknown_fields_of_a_message_are_ignored() -> None:
    fields = msgspec.to_builtins(round_())
    raw = msgspec.msgpack.encode(
        {"schema": 1, "topic": "rounds", "id": "x", "producer": "p", "seq": 1, "time": 0.0, "new": 1}
        | {"body": {**fields, "added_later": 3}}
    )
    assert unseal(raw).body == round_()


def test_a_topic_carries_only_its_own_message() -> None:
    with pytest.raises(DecodeError, match="rounds carries Round"):
        seal("rounds", verdict(trajectory()), id="x", producer="p", seq=1)
    forged = msgspec.msgpack.encode(
        {"schema": 1, "topic": "rounds", "id": "x", "producer": "p", "seq": 1, "time": 0.0}
        | {"body": verdict(trajectory())}
    )
    with pytest.raises(DecodeError, match="rounds carries Round, not Verdict"):
        unseal(forged)


def test_an_unknown_topic_lists_those_that_exist() -> None:
    with pytest.raises(UnknownTopic, match="trajectories, verdicts"):
        seal("verdict", verdict(trajectory()), id="x", producer="p", seq=1)


def test_a_message_over_the_limit_is_refused_on_both_sides() -> None:
    long = Fault(service="s", what="w" * limits.TEXT_CHARS, why="")
    assert unseal(seal("faults", long, id="x", producer="p", seq=1)).body == long
    with pytest.raises(TooLarge, match="blob"):
        unseal(b"\x00" * (limits.MESSAGE_BYTES + 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [("final_frame", "not a digest"), ("round", -1), ("ended", "won"), ("id", ""), ("id", "x" * 201)],
)
def test_values_outside_their_bounds_are_refused(field: str, value: object) -> None:
    fields = {**msgspec.to_builtins(trajectory()), field: value}
    raw = msgspec.msgpack.encode(
        {"schema": 1, "topic": "trajectories", "id": "x", "producer": "p", "seq": 1, "time": 0.0, "body": fields}
    )
    with pytest.raises(DecodeError):
        unseal(raw)


def test_a_flip_is_where_asking_changed_the_judgement() -> None:
    assert verdict(trajectory(), judged=False, success=True).flipped
    assert not verdict(trajectory(), judged=True, success=True).flipped


def test_the_digest_of_an_adapter_depends_on_names_and_contents_only() -> None:
    one, two = {"a": digest(b"1"), "b": digest(b"2")}, {"b": digest(b"2"), "a": digest(b"1")}
    assert adapter_digest(one) == adapter_digest(two)
    assert adapter_digest(one) != adapter_digest({"a": digest(b"2"), "b": digest(b"1")})


def test_errors_travel_by_code() -> None:
    error = from_code("too_large", "so many bytes")
    assert isinstance(error, TooLarge)
    assert str(error) == "so many bytes"
    assert type(from_code("of a later version", "x")) is ProtocolError


def test_requests_are_framed_and_parsed() -> None:
    frames = pack(7, Publish(), [b"one", b"two"])
    assert frames[0] == MAGIC
    number, body, payload = split(frames)
    assert (number, payload) == (7, [b"one", b"two"])
    assert parse_request(body) == Publish()


@pytest.mark.parametrize("frames", [[], [b"x"], [MAGIC, b"short", b""], [b"HTTP", b"\0" * 8, b""]])
def test_frames_that_are_not_requests_are_decode_errors(frames: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        split(frames)


def test_an_unknown_command_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        parse_request(msgspec.msgpack.encode({"op": "shutdown"}))
    assert parse_request(msgspec.msgpack.encode(Hello(role="r", instance="i"))) == Hello(role="r", instance="i")


def test_a_decoder_checks_types() -> None:
    parse = decoder(Task)
    assert parse(msgspec.msgpack.encode(task())) == task()
    with pytest.raises(DecodeError):
        parse(msgspec.msgpack.encode(FRAME))
    assert isinstance(round_(), Round)
    assert isinstance(trajectory(), Trajectory)
