"""A minimal HTTP/1.1 server for monitoring: GET only, one response per connection, with limits on size and time.

It has no TLS. If other machines read the pages, put it behind a proxy with TLS.
"""

import hmac
import logging
import os
import re
import stat
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import anyio
import anyio.abc
import msgspec
from anyio.abc import TaskStatus

from runtime.endpoints import EndpointError, is_local, is_loopback, to_listen
from runtime.paths import given_path
from runtime.settings import SettingsError
from runtime.text import TextError, decode_text

REQUEST_SECONDS = 5.0
"""Time limit for a client's request and its response together."""
HEAD_BYTES = 8192
"""Size limit of a request's head. Bodies are not read."""
CONNECTIONS = 32
"""Limit of concurrent clients; further ones are disconnected, to keep this process's descriptors free."""
TOKEN_CHARS = 16
"""The minimum length of a token."""

_HOST = re.compile(r":\d*$")

log = logging.getLogger("selu.web")


class Page(msgspec.Struct, frozen=True):
    """A response: body, content type and status."""

    body: str
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


Pages = Mapping[str, Callable[[], Awaitable[Page]]]
"""Page functions by path. Each must return within `REQUEST_SECONDS`."""


def read_token(host: str, file: str) -> str | None:
    """Reads the bearer token that requests must have; None if they need none.

    Raises:
        SettingsError: the host is invalid, other machines could send requests without a token, or the token file is
            missing, invalid or readable by other users.
    """
    try:
        host = to_listen(host)
    except EndpointError as error:
        raise SettingsError(f"metrics.host {error}") from None
    if not file:
        if not is_loopback(host):
            raise SettingsError(
                f"metrics.host {host!r} lets other machines ask: set metrics.token_file, or leave it 127.0.0.1"
            )
        return None
    path = given_path(file)
    try:
        with path.open("rb") as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid not in (0, os.getuid()) or stat.S_IMODE(found.st_mode) & 0o077:
                raise SettingsError(f"metrics.token_file {path} can be read by others: chmod 600 {path}")
            token = decode_text(opened.read(), str(path)).strip()
    except OSError as error:
        raise SettingsError(f"cannot read metrics.token_file {path}: {error.strerror or error}") from error
    except TextError as error:
        raise SettingsError(f"metrics.token_file {error}") from error
    if len(token) < TOKEN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(
            f"metrics.token_file {path} holds no token: at least {TOKEN_CHARS} printable ASCII characters, no spaces"
        )
    return token


async def serve_pages(
    host: str,
    port: int,
    pages: Pages,
    *,
    token: str | None = None,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serves the pages until cancelled. `task_status` gets the port once it listens; port 0 means any free one.

    Raises:
        OSError: the port is in use.
    """
    host = to_listen(host)
    now = 0

    async def handle(client: anyio.abc.SocketStream) -> None:
        nonlocal now
        async with client:
            if now >= CONNECTIONS:
                return
            now += 1
            try:
                with anyio.move_on_after(REQUEST_SECONDS):
                    await client.send(_answer(await _asked(client, pages, token)))
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError, OSError):
                pass  # the client disconnected
            except Exception:
                log.exception("a page could not be made")
            finally:
                now -= 1

    async with await anyio.create_tcp_listener(local_host=host, local_port=port, reuse_port=False) as listener:
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
        await listener.serve(handle)


async def _asked(client: anyio.abc.SocketStream, pages: Pages, token: str | None) -> Page:
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > HEAD_BYTES:
            return _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        head += await client.receive(HEAD_BYTES)
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return _plain(HTTPStatus.BAD_REQUEST)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if token is None:
        # DNS rebinding: a web site may point its own host name at this machine to read the pages.
        if not is_local(f"tcp://{_HOST.sub('', headers.get('host', 'localhost'))}:0"):
            return _plain(HTTPStatus.FORBIDDEN)
    else:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1"), token.encode("latin-1")):
            return _plain(HTTPStatus.UNAUTHORIZED)
    if parts[0] != "GET":
        return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
    page = pages.get(parts[1].partition("?")[0])
    return _plain(HTTPStatus.NOT_FOUND) if page is None else await page()


def _plain(status: HTTPStatus) -> Page:
    return Page(f"{status.value} {status.phrase}\n", status=status)


def _answer(page: Page) -> bytes:
    body = page.body.encode()
    extra = {HTTPStatus.UNAUTHORIZED: "WWW-Authenticate: Bearer\r\n", HTTPStatus.METHOD_NOT_ALLOWED: "Allow: GET\r\n"}
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"{extra.get(page.status, '')}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
