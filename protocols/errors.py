"""All errors of the protocol, grouped by meaning.

ProtocolError
├── DecodeError        the bytes are not a valid message
├── SchemaError        an envelope was written by a newer schema
├── TooLarge           a message, blob or batch is over its limit
├── UnknownTopic       a topic is not declared
├── Forbidden          the role may not do this
├── NotAdmitted        the key is missing, unknown or revoked, or is for another role or name
├── Replaced           a newer process has connected with the same key and name
├── MeshError          the hub refused or could not answer
│   ├── Busy           a bounded queue is full: slow down and try again
│   ├── Unavailable    no live process serves this call
│   ├── DeadlineExceeded
│   ├── NotFound       a blob, call, command or adapter does not exist
│   ├── StorageFull    there is no disk space: nothing was acknowledged
│   └── StorageFailed  the disk or its folder failed otherwise: nothing was acknowledged
└── RemoteError        the handler of a call failed
"""


class ProtocolError(Exception):
    """Base class of all errors of the protocol. ``code`` is its name on the wire."""

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
    """Returns the exception for an error code. An unknown code, from a newer peer, becomes a `ProtocolError`."""
    return _BY_CODE.get(code, ProtocolError)(text)
