"""Encodes and decodes envelopes, and computes the digests that name blobs and adapters.

An envelope is a msgpack map (see README.md in this folder). Decoding raises only `ProtocolError`s.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from protocols import limits
from protocols.errors import DecodeError, SchemaError, TooLarge
from protocols.messages import AnyMessage, Digest, Message, Name
from protocols.topics import topic


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message body with its metadata.

    ``id`` identifies the message: a second one with the same id on the same topic is a duplicate, and the hub answers
    it with the first one's offset. ``seq`` counts the producer's messages from 1. ``time`` is seconds since the epoch
    by the producer's clock; it is for people only and orders nothing.
    """

    schema: int
    topic: Name
    id: Name
    producer: Name
    seq: int
    time: float
    body: AnyMessage


class _Head(msgspec.Struct, frozen=True):
    schema: int


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_heads = msgspec.msgpack.Decoder(_Head)
# Besides its own two errors, msgspec raises UnicodeDecodeError for bad text and RecursionError for deep nesting.
_BROKEN = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)


def seal(topic_name: str, body: Message, *, id: str, producer: str, seq: int) -> bytes:
    """Encodes one message for a topic.

    Raises:
        UnknownTopic: the topic is not declared.
        DecodeError: the topic carries another type of message.
        TooLarge: the envelope is over `limits.MESSAGE_BYTES`.
    """
    declared = topic(topic_name)
    if not isinstance(body, declared.message):
        raise DecodeError(f"{topic_name} carries {declared.message.__name__}, not {type(body).__name__}")
    envelope = {
        "schema": limits.SCHEMA, "topic": topic_name, "id": id, "producer": producer, "seq": seq,
        "time": time.time(), "body": body,
    }  # fmt: skip
    return sized(_encoder.encode(envelope), f"a message on {topic_name}")


def sized(data: bytes, what: str) -> bytes:
    """Returns `data` unchanged. Raises `TooLarge` over `limits.MESSAGE_BYTES`; `what` names it in the text."""
    if len(data) > limits.MESSAGE_BYTES:
        raise TooLarge(f"{what} is {len(data)} bytes; the limit is {limits.MESSAGE_BYTES}: put large data in a blob")
    return data


def unseal(data: bytes) -> Envelope:
    """Decodes and validates one envelope.

    Raises:
        TooLarge: over `limits.MESSAGE_BYTES`; nothing is parsed.
        SchemaError: a newer schema wrote it.
        UnknownTopic: the topic is not declared.
        DecodeError: the bytes are invalid otherwise, or the topic carries another type of message.
    """
    sized(data, "a received message")
    try:
        schema = _heads.decode(data).schema
    except _BROKEN as error:
        raise DecodeError(f"not an envelope: {error}") from error
    if schema > limits.SCHEMA:
        raise SchemaError(f"the message has schema {schema}; this reader knows up to {limits.SCHEMA}: upgrade it")
    try:
        envelope = _envelopes.decode(data)
    except _BROKEN as error:
        raise DecodeError(f"not a message: {error}") from error
    declared = topic(envelope.topic)
    if not isinstance(envelope.body, declared.message):
        raise DecodeError(f"{envelope.topic} carries {declared.message.__name__}, not {type(envelope.body).__name__}")
    return envelope


def encode(value: msgspec.Struct) -> bytes:
    """Encodes a struct that is sent without an envelope (a command, a call's body). Raises `TooLarge`."""
    return sized(_encoder.encode(value), type(value).__name__)


def decoder(kind: Any) -> Callable[[bytes], Any]:
    """Returns a function that decodes and validates such a struct, or a union of them, or raises `DecodeError` or
    `TooLarge`."""
    parser = msgspec.msgpack.Decoder(kind)

    def decode(data: bytes) -> Any:
        sized(data, "a received frame")
        try:
            return parser.decode(data)
        except _BROKEN as error:
            raise DecodeError(f"not what was expected here: {error}") from error

    return decode


def digest(data: bytes | memoryview) -> Digest:
    """Returns the name of a blob: its sha256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def adapter_digest(files: Mapping[str, Digest]) -> Digest:
    """Returns the name of an adapter: the sha256 of its sorted lines ``<file name> <file digest>``."""
    return digest("\n".join(f"{name} {files[name]}" for name in sorted(files)).encode())
