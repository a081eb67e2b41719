"""Parses addresses that people type: endpoints, HOST:PORT, hosts and URLs.

Each function takes a text and raises `EndpointError` if it cannot be used. Addresses to listen at and addresses to
connect to differ: ``*`` and ``0.0.0.0`` mean all devices of a machine, and nothing can connect to them.
"""

import ipaddress
import os
import re
import socket
import threading
from typing import NamedTuple
from urllib.parse import urlsplit

LOCALHOST = "localhost"
RESOLVE_SECONDS = 5.0
"""Time limit for the name service to resolve a host."""
PATH_BYTES = 107
"""The longest path of a Unix socket."""
SHOWN = 80
"""Characters of a wrong address that are shown."""

_TCP, _IPC, _INPROC = "tcp://", "ipc://", "inproc://"
_ANY = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "[::]": "[::1]"}
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")


class EndpointError(ValueError):
    """An address that cannot be used. The text names the error and a valid form."""


class Address(NamedTuple):
    """``host`` is a name, an IPv4 address, or an IPv6 address in brackets; to listen at, also ``*``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


# -- parts -----------------------------------------------------------------------------------------


def _host(text: str) -> str:
    """Returns a host, with brackets added around an IPv6 address. Raises `EndpointError` with the fault only."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare:
        raise EndpointError("has no host")
    if ":" in bare:
        try:
            return f"[{ipaddress.IPv6Address(bare)}]"
        except ValueError:
            raise EndpointError(f"has {_shown(bare)}, which is no IPv6 address") from None
    if re.fullmatch(r"[0-9.]+", bare) and bare == text:
        try:
            return str(ipaddress.IPv4Address(bare))
        except ValueError:
            raise EndpointError(f"has {_shown(bare)}, which is no IPv4 address") from None
    if bare != text or not _NAME.fullmatch(bare):
        raise EndpointError(f"has {_shown(text)}, which cannot be the name of a host")
    return bare


def _port(text: str) -> int:
    """Returns a port. Raises `EndpointError` with the fault only."""
    if not text:
        raise EndpointError("has no port")
    if not re.fullmatch(r"[0-9]+", text):
        raise EndpointError(f"has the port {_shown(text)}; a port is a number")
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise EndpointError(f"has port {_shown(text)[1:-1]}; a port is from 1 to 65535")
    return int(text)


def _address(text: str, *, any_device: bool = False) -> Address:
    """Parses HOST:PORT; with `any_device` the host may be ``*``. Raises `EndpointError` with the fault only."""
    if not text:
        raise EndpointError("is empty")
    if not text.isprintable() or re.search(r"\s", text):
        raise EndpointError("has a space or another character that an address cannot have")
    if "://" in text:
        raise EndpointError(f"begins with {_shown(text.partition('://')[0] + '://')}")
    if "@" in text:
        raise EndpointError("has a user's name")
    if behind := re.search(r"[/?#].*", text):
        raise EndpointError(f"has {_shown(behind[0])} after host and port")
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host, colon, port = host + bracket, *rest.partition(":")[1:]
        if not bracket or (not rest.startswith(":") and rest):
            raise EndpointError("has brackets that do not close around an IPv6 address")
    elif text.count(":") > 1:
        raise EndpointError("has more than one colon; an IPv6 address needs brackets around it")
    if not colon:
        host = text if not text.isdigit() else ""
        raise EndpointError("has no port" if host else "has no host")
    if host == "*" and any_device:
        return Address(host, _port(port))
    return Address(_host(host), _port(port))


# -- addresses to connect to -----------------------------------------------------------------------


def to_connect(endpoint: str) -> str:
    """Returns a hub's endpoint unchanged after checking that it can be connected to.

    Raises:
        EndpointError: it cannot.
    """
    give = "give tcp://HOST:PORT, for example tcp://gpu1:5555"
    if endpoint.startswith((_IPC, _INPROC)):
        path = endpoint.partition("://")[2]
        if not path or "\0" in path or len(os.fsencode(path)) > PATH_BYTES:
            raise EndpointError(
                f"{_shown(endpoint)} has no path, or one over {PATH_BYTES} bytes: {give}, or ipc://PATH"
            )
        return endpoint
    try:
        if endpoint.startswith(_TCP):
            found = _address(endpoint.removeprefix(_TCP), any_device=True)
        elif "://" in endpoint or not endpoint:
            found = _address(endpoint)
        else:
            _address(endpoint)
            raise EndpointError("does not begin with tcp://")
    except EndpointError as error:
        raise EndpointError(f"the endpoint {_shown(endpoint)} {error}: {give}") from None
    if found.host in _ANY:
        raise EndpointError(
            f"the endpoint {_shown(endpoint)} is where a hub listens on all its devices: give the name of its machine, "
            f"tcp://HOST:{found.port}, or tcp://{_ANY[found.host]}:{found.port} on that machine itself"
        )
    return endpoint


def resolve(endpoint: str) -> None:
    """Checks that the host of a tcp endpoint can be resolved. Other endpoints pass.

    Raises:
        EndpointError: it has no address, or the name service gave no answer within `RESOLVE_SECONDS`.
    """
    if not endpoint.startswith(_TCP):
        return
    host, port = _address(endpoint.removeprefix(_TCP))
    failed = [f"the name service gave no answer within {RESOLVE_SECONDS:g} s"]

    def look() -> None:
        try:
            socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            failed.clear()
        except (OSError, UnicodeError) as error:
            failed[0] = getattr(error, "strerror", None) or str(error)

    # In a thread, because a slow name service cannot be interrupted.
    looking = threading.Thread(target=look, name="resolve", daemon=True)
    looking.start()
    looking.join(RESOLVE_SECONDS)
    if failed:
        raise EndpointError(
            f"no address is known for the host {host!r} of {endpoint} ({failed[0]}): is the name right?"
        )


def address(text: str) -> Address:
    """Parses HOST:PORT of a server. Raises `EndpointError`."""
    try:
        found = _address(text)
    except EndpointError as error:
        raise EndpointError(f"{_shown(text)} {error}: give HOST:PORT, for example 127.0.0.1:8080") from None
    return found


def check_url(text: str) -> None:
    """Checks that a text is http://HOST or http://HOST:PORT, or https, with or without a path. Raises
    `EndpointError`."""
    try:
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise EndpointError("does not begin with http:// or https://")
        place, slash, path = rest.partition("/")
        if not path.isprintable() or re.search(r"[\s?#]", path):
            raise EndpointError(f"has {_shown(slash + path)} after host and port")
        found = _address(place if re.search(r":[^\]]*$", place) else f"{place}:80")
        if found.host in _ANY:
            raise EndpointError(
                f"is where a server listens on all its devices; on its own machine, {_ANY[found.host]} reaches it"
            )
        urlsplit(text)
    except ValueError as error:
        raise EndpointError(f"{_shown(text)} {error}: give http://HOST:PORT or https://HOST:PORT") from None


# -- addresses to listen at ------------------------------------------------------------------------


def to_listen(host: str) -> str:
    """Returns a host to listen at, without brackets around an IPv6 address. Raises `EndpointError`."""
    try:
        if re.search(r"[\s/@]", host) or not host.isprintable():
            raise EndpointError("is not the name or the address of one of this machine's devices")
        return _host(host).strip("[]")
    except EndpointError as error:
        raise EndpointError(f"{_shown(host)} {error}: give 127.0.0.1, ::1, or 0.0.0.0 for all devices") from None


def pair(endpoint: str) -> tuple[str, str]:
    """Returns the endpoints of ROUTER and PUB; PUB uses the next port. Raises `EndpointError`."""
    try:
        if not endpoint.startswith(_TCP):
            _address(endpoint)
            raise EndpointError("does not begin with tcp://")
        host, port = _address(endpoint.removeprefix(_TCP), any_device=True)
        if not 1024 <= port < 65535:
            raise EndpointError(f"has port {port}, which must be from 1024 to 65534; the next one is used too")
    except EndpointError as error:
        raise EndpointError(
            f"{_shown(endpoint)} {error}: leave it empty for ipc, or give tcp://127.0.0.1:PORT"
        ) from None
    return f"{_TCP}{host}:{port}", f"{_TCP}{host}:{port + 1}"


def from_here(endpoint: str) -> str:
    """Returns the endpoint for processes on the hub's machine: the address of all devices becomes the loopback's."""
    if not endpoint.startswith(_TCP):
        return endpoint
    host, port = _address(endpoint.removeprefix(_TCP), any_device=True)
    return f"{_TCP}{_ANY.get(host, host)}:{port}"


def beside(endpoint: str, fanout: str) -> str:
    """Returns the fan-out's endpoint for a client that reached the hub at `endpoint`: the same host, PUB's port."""
    if not endpoint.startswith(_TCP) or not fanout.startswith(_TCP):
        return fanout
    host, port = endpoint.removeprefix(_TCP).rpartition(":")[0], fanout.rpartition(":")[2]
    return f"{_TCP}{host}:{port}"


# -- reachability ----------------------------------------------------------------------------------


def is_local(endpoint: str) -> bool:
    """Returns whether only this machine can reach an endpoint: ipc, inproc, or tcp on the loopback device."""
    if not endpoint.startswith(_TCP):
        return endpoint.startswith((_IPC, _INPROC))
    return is_loopback(endpoint.removeprefix(_TCP).rpartition(":")[0].strip("[]"))


def is_loopback(host: str) -> bool:
    """Returns whether a host is "localhost" or a loopback address, which no other machine can reach."""
    try:
        return host == LOCALHOST or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
