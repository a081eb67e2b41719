"""The commands of a client and the replies of the hub, over DEALER and ROUTER. README.md shows the frames.

A request has three or more frames: `MAGIC`, a request number (8 bytes, big-endian), one command as a msgpack map, then
payload frames (envelopes, a call's body, a piece of a blob). The reply repeats the number. Every command is idempotent:
envelopes are identified by id, acknowledgements and leases by offset.
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
"""Seconds for which the hub may delay the reply until there are messages (long poll)."""
Limit = Annotated[int, Meta(ge=1, le=limits.BATCH_MESSAGES)]


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=str.lower, omit_defaults=True):
    """Base class of all commands."""


class Hello(Command, frozen=True, kw_only=True):
    """Opens a session; the first command of a connection. Answered by `Welcome`.

    A session of the same instance on another connection is replaced, and its leases are released; observers without a
    key do not replace each other. ``ticket`` is the key on a socket without CURVE; without a key only an observer is
    admitted. ``began`` is the client's start time in nanoseconds since its machine booted, and ``boot`` is the id of
    that boot. With both, a late hello cannot replace a client that started after its sender on the same machine.
    """

    role: Name
    instance: Name
    ticket: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""
    began: Annotated[int, Meta(ge=0, le=limits.COUNT)] = 0
    boot: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""


class Ping(Command, frozen=True, kw_only=True):
    """Keeps a session alive; sent about every `Welcome.ping_seconds`. Answered by `Pong`."""


class Publish(Command, frozen=True, kw_only=True):
    """Payload: one or more envelopes of durable topics. Answered by `Published` once all are on disk."""


class Emit(Command, frozen=True, kw_only=True):
    """Payload: one envelope of a live topic. Never answered."""


class Fetch(Command, frozen=True, kw_only=True):
    """Requests messages of `topics` with offsets above `after`, oldest first. Answered by `Batch`."""

    topics: tuple[Name, ...]
    after: Count
    limit: Limit = limits.BATCH_MESSAGES
    wait: Wait = 0.0


class Pull(Command, frozen=True, kw_only=True):
    """Requests messages as a member of a consumer group; the leases end with the session. Answered by `Leased`.

    A new group begins after offset `start`. With `until`, the reply has `ended=True` once the group has acknowledged
    all messages of the topic up to that offset.
    """

    group: Name
    topic: Name
    start: Count = 0
    limit: Limit = 32
    wait: Wait = 0.0
    until: Count | None = None


class Acknowledge(Command, frozen=True, kw_only=True):
    """Marks these offsets as done for the group. Answered by `Done` once that is on disk."""

    group: Name
    topic: Name
    offsets: tuple[Count, ...]


class Release(Command, frozen=True, kw_only=True):
    """Releases leases of unfinished messages, which another member may then get. Answered by `Done`."""

    group: Name
    topic: Name
    offsets: tuple[Count, ...]


class Serve(Command, frozen=True, kw_only=True):
    """Registers the session for calls of `method`, at most `capacity` at a time; 0 ends this. Answered by `Done`."""

    method: Name
    capacity: Annotated[int, Meta(ge=0, le=4096)]


class Call(Command, frozen=True, kw_only=True):
    """Payload: the call's body. Answered by `Answered`, with the result of the session that has most free capacity.

    The hub queues the call until a session serves the method. If that session ends, another one gets the call, so
    methods must be safe to run twice.
    """

    method: Name
    timeout: Annotated[float, Meta(gt=0, le=limits.CALL_SECONDS)]


class Result(Command, frozen=True, kw_only=True):
    """The result of a `Work`, which the hub forwards to the caller. Payload: the body, unless `error` is set. Never
    answered."""

    call: Count = 0
    error: Name | None = None
    text: Text = ""


class PutBlob(Command, frozen=True, kw_only=True):
    """Payload: one piece of a blob; pieces are sent in order. Answered by `Done`, for the last piece once the blob is
    verified and on disk."""

    digest: Digest
    size: Annotated[int, Meta(ge=0, le=limits.BLOB_BYTES)]
    at: Count


class GetBlob(Command, frozen=True, kw_only=True):
    """Requests the piece of a blob that begins at byte `at`. Answered by `Piece`."""

    digest: Digest
    at: Count = 0


class Status(Command, frozen=True, kw_only=True):
    """Requests the hub's status. Answered by `Report`."""


Request = (
    Hello | Ping | Publish | Emit | Fetch | Pull | Acknowledge | Release | Serve | Call | Result | PutBlob | GetBlob
    | Status
)  # fmt: skip


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=str.lower, omit_defaults=True):
    """Base class of all replies of the hub."""


class Welcome(Reply, frozen=True, kw_only=True):
    """Confirms a `Hello`. ``epoch`` is the id of this hub process: after it changes, a client must send a new hello and
    repeat its unanswered requests. ``fanout`` is the endpoint of the PUB socket."""

    epoch: Name
    ping_seconds: float
    fanout: str = ""


class Pong(Reply, frozen=True, kw_only=True):
    """Confirms a `Ping`. ``epoch`` is as in `Welcome`."""

    epoch: Name


class Published(Reply, frozen=True, kw_only=True):
    """Confirms a `Publish`: the offset of each message, for a duplicate that of the first one."""

    offsets: tuple[Count, ...]


class Batch(Reply, frozen=True, kw_only=True):
    """Payload: one envelope for each offset. ``next`` is the ``after`` of the next `Fetch`; ``tail`` is the newest
    offset of the log."""

    offsets: tuple[Count, ...]
    next: Count
    tail: Count


class Leased(Reply, frozen=True, kw_only=True):
    """Payload: one envelope for each offset. ``redelivered`` are the offsets that were leased before."""

    offsets: tuple[Count, ...]
    redelivered: tuple[Count, ...] = ()
    ended: bool = False


class Done(Reply, frozen=True, kw_only=True):
    """Confirms a command that has no other result."""


class Answered(Reply, frozen=True, kw_only=True):
    """The result of a call. Payload: the reply's body."""


class Work(Reply, frozen=True, kw_only=True):
    """A call for a serving session, sent with request number 0. Payload: the body. The session answers with `Result`.
    ``timeout`` is the time left in seconds."""

    call: Count
    method: Name
    timeout: float


class Piece(Reply, frozen=True, kw_only=True):
    """Payload: a piece of a blob. ``size`` is the size of the whole blob in bytes."""

    size: Count


class Refused(Reply, frozen=True, kw_only=True):
    """The request failed. ``code`` is one of `protocols.errors`, or "unknown_session": the client must send a hello."""

    code: Name
    text: Text


class Report(Reply, frozen=True, kw_only=True):
    """The hub's status. ``lag`` is the number of unacknowledged messages by "group:topic"; ``sessions`` maps instances
    to roles; ``serving`` counts running calls by method and instance; ``counts`` are totals since the hub started;
    ``gauges`` are current values: ``loop_lag_seconds`` (the worst of the last seconds), queued writes, queued calls and
    open requests.
    """

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
    """Returns the frames of one request or reply."""
    return [MAGIC, number.to_bytes(8, "big"), msgspec.msgpack.encode(command), *payload]


def split(frames: list[bytes]) -> tuple[int, bytes, list[bytes]]:
    """Splits received frames into (number, command bytes, payload). Raises `DecodeError` for other frames."""
    if len(frames) < 3 or frames[0] != MAGIC or len(frames[1]) != 8:
        raise DecodeError(f"not a {MAGIC.decode()} request: expected magic, number and command frames")
    return int.from_bytes(frames[1], "big"), frames[2], frames[3:]
