"""Whatever the types allow comes out as it went in, what later versions add is passed over, and halves are refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as types

from protocols import commands as c
from protocols import limits
from protocols.codec import seal, unseal
from protocols.errors import DecodeError, ProtocolError
from protocols.messages import Message, Name
from protocols.topics import TOPICS
from tests.strategies import values

NAMES = values(Name)
SAID = st.sampled_from(sorted(TOPICS)).flatmap(lambda name: st.tuples(st.just(name), values(TOPICS[name].message)))
REQUESTS, REPLIES = st.one_of(map(values, c.Request.__args__)), st.one_of(map(values, c.Response.__args__))

PAYLOADS = st.lists(st.binary(max_size=9), max_size=3)
WEIRD = values(str | int | float | bool | None) | st.just([])


def sealed(said: tuple[str, Message]) -> bytes:
    return seal(said[0], said[1], id="an id", producer="somebody", seq=1)


@settings(max_examples=75)
@given(said=SAID, id=NAMES, producer=NAMES, seq=st.integers(0, limits.COUNT))
def test_any_message_of_any_topic_comes_out_as_it_went_in(
    said: tuple[str, Message], id: str, producer: str, seq: int
) -> None:
    topic, body = said
    found = unseal(seal(topic, body, id=id, producer=producer, seq=seq))
    assert (found.topic, found.id, found.producer, found.seq, found.body) == (topic, id, producer, seq, body)
    assert found.schema == limits.SCHEMA


def grown(value: Any, info: types.Type) -> Any:
    """The value as a later version would write it: with a key more in every struct."""
    match info:
        case types.StructType() if isinstance(value, dict):
            known = {field.encode_name: field.type for field in info.fields}
            inner = {key: grown(item, known[key]) if key in known else item for key, item in value.items()}
            return {"added_later": {"some": ["thing"]}, **inner}
        case types.VarTupleType() if isinstance(value, list | tuple):
            return [grown(item, info.item_type) for item in value]
        case types.DictType() if isinstance(value, dict):
            return {key: grown(item, info.value_type) for key, item in value.items()}
        case types.UnionType() if value is not None:
            (part,) = [part for part in info.types if not isinstance(part, types.NoneType)]
            return grown(value, part)
        case _:
            return value


@settings(max_examples=50)
@given(said=SAID)
def test_what_a_later_version_adds_anywhere_is_passed_over(said: tuple[str, Message]) -> None:
    envelope = msgspec.msgpack.decode(sealed(said))
    envelope["body"] = grown(envelope["body"], types.type_info(TOPICS[said[0]].message))
    assert unseal(msgspec.msgpack.encode({"also": 1, **envelope})).body == said[1]


@settings(max_examples=60)
@given(said=SAID, data=st.data())
def test_no_half_of_a_message_is_taken_for_one(said: tuple[str, Message], data: st.DataObject) -> None:
    whole = sealed(said)
    with pytest.raises(DecodeError):
        unseal(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DecodeError):
        unseal(whole + data.draw(st.binary(min_size=1, max_size=4)))


@settings(max_examples=50)
@given(said=SAID, data=st.data())
def test_a_field_is_required_or_has_a_default(said: tuple[str, Message], data: st.DataObject) -> None:
    envelope = msgspec.msgpack.decode(sealed(said))
    fields = {field.encode_name: field for field in msgspec.structs.fields(said[1])}
    name = data.draw(st.sampled_from(sorted(fields)))
    envelope["body"].pop(name, None)
    without = msgspec.msgpack.encode(envelope)
    if fields[name].required:
        with pytest.raises(DecodeError, match=name):
            unseal(without)
    else:
        field = fields[name]
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        assert getattr(unseal(without).body, name) == default


@settings(max_examples=75)
@given(
    said=SAID, path=st.lists(st.integers(0, 8), max_size=5), weird=values(str | int | float | bool | None) | st.just([])
)
def test_any_value_anywhere_is_taken_or_refused_by_the_protocol(
    said: tuple[str, Message], path: list[int], weird: object
) -> None:
    envelope = msgspec.msgpack.decode(sealed(said))
    place, key = envelope, "body"
    for step in path:
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        place, key = inner, list(inner)[step % len(inner)] if isinstance(inner, dict) else step % len(inner)
    place[key] = weird
    try:
        body = unseal(msgspec.msgpack.encode(envelope)).body
    except ProtocolError:
        return
    assert unseal(sealed((said[0], body))).body == body  # type: ignore[arg-type]


@settings(max_examples=75)
@given(command=REQUESTS, reply=REPLIES, number=st.integers(0, 2**64 - 1), payload=PAYLOADS)
def test_any_command_and_reply_is_framed_and_read(
    command: c.Command, reply: c.Reply, number: int, payload: list[bytes]
) -> None:
    for said, parse in ((command, c.parse_request), (reply, c.parse_response)):
        found, body, rest = c.split(c.pack(number, said, payload))
        assert (found, parse(body), rest) == (number, said, payload)
        with pytest.raises(DecodeError):
            parse(body[:-1])


@pytest.mark.parametrize("offset", [limits.COUNT + 1, 2**64 - 1, -1])
def test_an_offset_that_no_log_can_have_is_refused(offset: int) -> None:
    for said in ({"op": "pull", "start": offset}, {"op": "fetch", "after": offset}, {"op": "pull", "until": offset}):
        with pytest.raises(DecodeError):
            c.parse_request(msgspec.msgpack.encode({"group": "g", "topic": "rounds", "topics": [], **said}))
