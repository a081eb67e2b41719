"""What a client says to the hub and what the hub answers, over DEALER and ROUTER. README.md shows the frames.

A request is three or more frames: `MAGIC`, a request number (8 bytes, big-endian), one command as a msgpack map, then
payload frames (envelopes, a call's body, a piece of a blob). An answer repeats the number. Every command may be sent
again with the same effect: envelopes are known by id, acknowledgements and leases by offset.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from protocols import limits
from protocols.codec import decoder
from protocols.errors import DecodeError
from protocols.messages import Count, Digest, Name, Text

MAGIC = b"SELU1"

Wait = Annotated[float, Meta(ge=0, le=30)]
"""Seconds the hub may hold an answer back until there is something to say."""
Limit = Annotated[int, Meta(ge=1, le=limits.BATCH_MESSAGES)]


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=str.lower, omit_defaults=True):
    """Base of everything a client says."""


class Hello(Command, frozen=True, kw_only=True):
    """First of all: who this is. An instance that says hello again replaces its former self, whose leases return.

    ``ticket`` proves it on a socket without CURVE, where the run gave one out; without, only an observer is let in.
    ``began`` is when the client began, in nanoseconds since its machine started, and ``boot`` is an id of that start.
    With both, a hello that arrives late cannot replace a client that began after its sender on the same machine.
    """

    role: Name
    instance: Name
    ticket: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""
    began: Annotated[int, Meta(ge=0, le=limits.COUNT)] = 0
    boot: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""


class Ping(Command, frozen=True, kw_only=True):
    """Keeps a session alive; sent about every `Welcome.ping_seconds`."""


class Publish(Command, frozen=True, kw_only=True):
    """Payload: one or more envelopes of durable topics. Answered by `Published` once all are on disk."""


class Emit(Command, frozen=True, kw_only=True):
    """Payload: one envelope of a live topic. Never answered."""


class Fetch(Command, frozen=True, kw_only=True):
    """Messages of `topics` with offsets above `after`, oldest first. Answered by `Batch`."""

    topics: tuple[Name, ...]
    after: Count
    limit: Limit = limits.BATCH_MESSAGES
    wait: Wait = 0.0


class Pull(Command, frozen=True, kw_only=True):
    """Messages for a member of a consumer group, leased to it while its session lives. Answered by `Leased`.

    A group that is new begins after offset `start`. With `until`, the answer says `ended` once the group has
    acknowledged every message of the topic up to that offset.
    """

    group: Name
    topic: Name
    start: Count = 0
    limit: Limit = 32
    wait: Wait = 0.0
    until: Count | None = None


class Acknowledge(Command, frozen=True, kw_only=True):
    """The group is done with these offsets. Answered by `Done` once that is on disk."""

    group: Name
    topic: Name
    offsets: tuple[Count, ...]


class Release(Command, frozen=True, kw_only=True):
    """Gives leases back unfinished, so that another member gets the messages at once."""

    group: Name
    topic: Name
    offsets: tuple[Count, ...]


class Serve(Command, frozen=True, kw_only=True):
    """This session answers calls of `method`, at most `capacity` at a time; 0 withdraws."""

    method: Name
    capacity: Annotated[int, Meta(ge=0, le=4096)]


class Call(Command, frozen=True, kw_only=True):
    """Payload: the call's body. Answered by `Result` from the least loaded session that serves the method.

    Waits for one to appear. When a serving session dies, its calls go to another: methods must be safe to run twice.
    """

    method: Name
    timeout: Annotated[float, Meta(gt=0, le=limits.CALL_SECONDS)]


class Result(Command, frozen=True, kw_only=True):
    """A serving session's answer to `Work`, and the hub's to `Call`. Payload: the body, unless `error` is set."""

    call: Count = 0
    error: Name | None = None
    text: Text = ""


class PutBlob(Command, frozen=True, kw_only=True):
    """Payload: one piece of a blob, pieces in order. The last is answered once the whole is checked and on disk."""

    digest: Digest
    size: Annotated[int, Meta(ge=0, le=limits.BLOB_BYTES)]
    at: Count


class GetBlob(Command, frozen=True, kw_only=True):
    """Asks for the piece of a blob that begins at byte `at`. Answered by `Piece`."""

    digest: Digest
    at: Count = 0


class Status(Command, frozen=True, kw_only=True):
    """Asks how the hub is. Answered by `Report`."""


Request = (
    Hello | Ping | Publish | Emit | Fetch | Pull | Acknowledge | Release | Serve | Call | Result | PutBlob | GetBlob
    | Status
)  # fmt: skip


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=str.lower, omit_defaults=True):
    """Base of everything the hub says."""


class Welcome(Reply, frozen=True, kw_only=True):
    """``epoch`` names this life of the hub: when it changes, say hello again and repeat what is unanswered."""

    epoch: Name
    ping_seconds: float
    fanout: str = ""


class Pong(Reply, frozen=True, kw_only=True):
    epoch: Name


class Published(Reply, frozen=True, kw_only=True):
    offsets: tuple[Count, ...]


class Batch(Reply, frozen=True, kw_only=True):
    """Payload: one envelope for each offset. ``next`` is what to ask for as ``after``; ``tail`` the newest offset."""

    offsets: tuple[Count, ...]
    next: Count
    tail: Count


class Leased(Reply, frozen=True, kw_only=True):
    """Payload: one envelope for each offset. ``redelivered`` are those handed out before."""

    offsets: tuple[Count, ...]
    redelivered: tuple[Count, ...] = ()
    ended: bool = False


class Done(Reply, frozen=True, kw_only=True):
    """It happened."""


class Answered(Reply, frozen=True, kw_only=True):
    """Payload: the body a call was answered with."""


class Work(Reply, frozen=True, kw_only=True):
    """A call for a serving session, sent with request number 0. Payload: the body. Answer with `Result`."""

    call: Count
    method: Name
    timeout: float


class Piece(Reply, frozen=True, kw_only=True):
    """Payload: a piece of a blob of ``size`` bytes in all."""

    size: Count


class Refused(Reply, frozen=True, kw_only=True):
    """The request failed. ``code`` is one of `protocols.errors`, or "unknown_session": say hello again."""

    code: Name
    text: Text


class Report(Reply, frozen=True, kw_only=True):
    """``lag`` is messages not yet acknowledged, by "group:topic"; ``counts`` are totals since the hub started;
    ``gauges`` are current values: ``loop_lag_seconds`` (the worst of late), what waits, what is open."""

    tail: Count
    lag: dict[str, Count]
    sessions: dict[str, Name]
    serving: dict[str, dict[str, Count]]
    counts: dict[str, Count]
    gauges: dict[str, float] = {}


Response = (
    Welcome | Pong | Published | Batch | Leased | Done | Answered | Work | Piece | Refused | Report
)  # fmt: skip

UNKNOWN_SESSION = "unknown_session"

parse_request: Callable[[bytes], Request] = decoder(Request)
parse_response: Callable[[bytes], Response] = decoder(Response)


def pack(number: int, command: Command | Reply, payload: tuple[bytes, ...] | list[bytes] = ()) -> list[bytes]:
    """The frames of one request or answer."""
    return [MAGIC, number.to_bytes(8, "big"), msgspec.msgpack.encode(command), *payload]


def split(frames: list[bytes]) -> tuple[int, bytes, list[bytes]]:
    """(number, command bytes, payload) of received frames. Raises `DecodeError` where they are not ours."""
    if len(frames) < 3 or frames[0] != MAGIC or len(frames[1]) != 8:
        raise DecodeError(f"not a {MAGIC.decode()} request: expected magic, number and command frames")
    return int.from_bytes(frames[1], "big"), frames[2], frames[3:]
