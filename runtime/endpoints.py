"""Where a hub listens, and how others reach it: which endpoints stay on this machine, and which need keys."""

import ipaddress
import re

LOCALHOST = "localhost"
_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.*-]+):(?P<port>\d{1,5})")
_ANY = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "[::]": "[::1]"}


class EndpointError(ValueError):
    """An endpoint nobody can listen at. The text says what it can be."""


def _parts(endpoint: str) -> tuple[str, int]:
    """(host, port) of a tcp endpoint. Raises `EndpointError`."""
    found = _TCP.fullmatch(endpoint)
    if found is None:
        raise EndpointError(f"{endpoint!r} is not allowed: leave it empty for ipc, or give tcp://127.0.0.1:PORT")
    return found["host"], int(found["port"])


def is_local(endpoint: str) -> bool:
    """Whether only this machine can reach it: ipc, inproc, or tcp on the loopback device."""
    if not endpoint.startswith("tcp://"):
        return endpoint.startswith(("ipc://", "inproc://"))
    return is_loopback(endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]"))


def is_loopback(host: str) -> bool:
    """Whether a host, by address or as "localhost", is this machine and no other can reach it."""
    try:
        return host == LOCALHOST or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def pair(endpoint: str) -> tuple[str, str]:
    """Where ROUTER and PUB listen: the PUB takes the next port. Raises `EndpointError`."""
    host, port = _parts(endpoint)
    if not 1024 <= port < 65535:
        raise EndpointError(f"{endpoint!r}: the port must be from 1024 to 65534; the next one is used too")
    return f"tcp://{host}:{port}", f"tcp://{host}:{port + 1}"


def from_here(endpoint: str) -> str:
    """How a process of the hub's own machine reaches it: an address of all devices becomes the loopback's."""
    if not endpoint.startswith("tcp://"):
        return endpoint
    host, port = _parts(endpoint)
    return f"tcp://{_ANY.get(host, host)}:{port}"


def beside(endpoint: str, fanout: str) -> str:
    """The fan-out's address for who reached the hub at `endpoint`: the same host, whatever the hub calls itself."""
    if not endpoint.startswith("tcp://") or not fanout.startswith("tcp://"):
        return fanout
    return f"tcp://{_parts(endpoint)[0]}:{_parts(fanout)[1]}"
