"""A JSON over HTTP client on the standard library, with only the features that an engine needs."""

import http.client
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any

import anyio
import anyio.to_thread

from services.models.server import ROUTE

ANSWER_BYTES = 64 << 20

LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""HTTP statuses of temporary errors, from a server or from a proxy before it."""

LONGEST_PAUSE = 30.0
"""The longest wait for a Retry-After, in seconds."""


class HttpFailed(Exception):
    """The server answered with an error. ``status`` is the HTTP status and the text is the server's. ``pause`` is
    the Retry-After in seconds, 0 without one."""

    def __init__(self, status: int, text: str, *, pause: float = 0.0) -> None:
        super().__init__(f"HTTP {status}: {' '.join(text.split())[:500]}")
        self.status = status
        self.pause = pause

    @property
    def later(self) -> bool:
        """Whether the error is temporary, so that a retry may succeed."""
        return self.status in LATER


class HttpBroken(Exception):
    """No answer came: nothing listens, the connection broke, or the deadline passed (``late``).

    ``wrong`` means that a retry cannot succeed: the address is invalid, its host name is unknown, or TLS failed.
    """

    def __init__(self, text: str, *, late: bool = False, wrong: bool = False) -> None:
        super().__init__(text)
        self.late = late
        self.wrong = wrong


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because the key must reach only the configured server."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def _wrong(error: Exception) -> bool:
    """Whether an error means that the address can never be used."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_NONAME
    return isinstance(cause, ssl.SSLError | http.client.InvalidURL | ValueError)


def _pause(said: str | None) -> float:
    """Returns the seconds of a Retry-After, at most `LONGEST_PAUSE`; 0 without one. Dates are ignored."""
    found = re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", (said or "").strip())
    return min(float(found[0]), LONGEST_PAUSE) if found else 0.0


class HttpClient:
    """Calls one server, each call in its own thread, at most `at_once` at a time. Sends `key` if it is not empty."""

    def __init__(self, url: str, *, at_once: int, key: str = "") -> None:
        self.url = ROUTE.sub("", url.strip().rstrip("/"))
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._threads = anyio.CapacityLimiter(at_once)
        # No proxy: the server is on this machine or network, and a robot's pictures must not pass a third party.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)

    async def call(self, path: str, body: Any = None, *, seconds: float) -> Any:
        """Sends GET, or POST with `body` as JSON. Returns the decoded answer, or its text if it is not JSON.

        Raises HttpFailed for an HTTP error, HttpBroken if no answer came within `seconds`.
        """
        with anyio.move_on_after(seconds):
            return await anyio.to_thread.run_sync(
                self._call, path, body, seconds, abandon_on_cancel=True, limiter=self._threads
            )
        raise HttpBroken(f"{self.url}{path} gave no answer in {seconds:.0f} s", late=True)

    def _call(self, path: str, body: Any, seconds: float) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=self._headers)
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                said = answer.read(ANSWER_BYTES).decode(errors="replace")
                if answer.length:  # bytes missing from Content-Length: a bounded read() does not report them
                    raise http.client.IncompleteRead(said.encode(), answer.length)
        except urllib.error.HTTPError as error:
            with error:
                raise HttpFailed(
                    error.code,
                    error.read(10_000).decode(errors="replace"),
                    pause=_pause(error.headers.get("Retry-After")),
                ) from None
        except TimeoutError:
            raise HttpBroken(f"{self.url}{path} gave no answer in {seconds:.0f} s", late=True) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HttpBroken(f"{self.url}{path}: {error}", wrong=_wrong(error)) from error
        try:
            return json.loads(said)
        except ValueError:
            return said
