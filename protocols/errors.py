"""Every error the protocol can name, by meaning.

ProtocolError
├── DecodeError        bytes that are not a message we understand
├── SchemaError        an envelope written by a newer schema than this one
├── TooLarge           a message, blob or batch over its limit
├── UnknownTopic       a topic nobody declared
├── Forbidden          a role that may not do this
├── NotAdmitted        no key, a revoked one, or another role or name than the key's
├── Replaced           another process has said hello with the same key and name since
├── MeshError          the hub refused or could not answer
│   ├── Busy           a bounded queue is full: slow down and try again
│   ├── Unavailable    nobody alive serves this call
│   ├── DeadlineExceeded
│   ├── NotFound       a blob or group that does not exist
│   ├── StorageFull    there is no space to write: nothing was acknowledged
│   └── StorageFailed  the disk or its folder failed otherwise: nothing was acknowledged
└── RemoteError        the process that served a call answered with an error
"""


class ProtocolError(Exception):
    """The base of every error below. ``code`` is what travels on the wire."""

    code = "protocol"


class DecodeError(ProtocolError):
    code = "decode"


class SchemaError(ProtocolError):
    code = "schema"


class TooLarge(ProtocolError):
    code = "too_large"


class UnknownTopic(ProtocolError):
    code = "unknown_topic"


class Forbidden(ProtocolError):
    code = "forbidden"


class NotAdmitted(ProtocolError):
    code = "not_admitted"


class Replaced(ProtocolError):
    code = "replaced"


class MeshError(ProtocolError):
    code = "mesh"


class Busy(MeshError):
    code = "busy"


class Unavailable(MeshError):
    code = "unavailable"


class DeadlineExceeded(MeshError):
    code = "deadline"


class NotFound(MeshError):
    code = "not_found"


class StorageFull(MeshError):
    code = "storage_full"


class StorageFailed(MeshError):
    code = "storage_failed"


class RemoteError(ProtocolError):
    code = "remote"


_BY_CODE: dict[str, type[ProtocolError]] = {
    kind.code: kind
    for kind in (
        ProtocolError, DecodeError, SchemaError, TooLarge, UnknownTopic, Forbidden, NotAdmitted, Replaced, MeshError,
        Busy, Unavailable, DeadlineExceeded, NotFound, StorageFull, StorageFailed, RemoteError,
    )
}  # fmt: skip


def from_code(code: str, text: str) -> ProtocolError:
    """The exception a wire error stands for. An unknown code (a newer peer's) becomes a `ProtocolError`."""
    return _BY_CODE.get(code, ProtocolError)(text)
