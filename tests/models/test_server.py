"""Which model servers may be talked to: those on this machine, and protected ones elsewhere."""

import http.server
import threading
from collections.abc import Generator

import anyio
import pytest

from services.models.engine import EngineError
from services.models.http_client import HttpClient, HttpFailed
from services.models.server import KEY_VARIABLE, check_server
from services.settings import Model

KEY = {KEY_VARIABLE: "k"}


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("http://127.0.0.1:8000", {}),
        ("http://localhost:8000/v1", {}),
        ("http://[::1]:8000", {}),
        ("https://models.example.org", KEY),
    ],
)
def test_loopback_and_protected_servers_are_taken(url: str, environ: dict[str, str]) -> None:
    assert check_server(Model(url=url), environ) == url


@pytest.mark.parametrize(
    ("url", "environ", "said"),
    [
        ("http://gpu1:8000", {}, f"lacks https and a key in {KEY_VARIABLE}"),
        ("http://10.0.0.2:8000", KEY, "lacks https:"),
        ("https://gpu1", {}, "lacks a key"),
        ("http://127.0.0.1.example.org", KEY, "on another machine"),
        ("file:///etc/passwd", KEY, "does not begin with http"),
        ("http://me:secret@127.0.0.1", {}, "has a user's name"),
        ("http://127.0.0.1:99999999", {}, "a port is from 1 to 65535"),
        ("localhost:8000", {}, "does not begin with http"),
        ("http://gpu 1:8000", KEY, "has a space"),
        ("https://gpu1:8000?key=1", KEY, "after host and port"),
        ("http://::1:8000", {}, "needs brackets"),
        ("http://0.0.0.0:8000", {}, "on its own machine, 127.0.0.1 reaches it"),
        ("http://[::]:8000/v1", KEY, r"on its own machine, \[::1\] reaches it"),
        ("http://127.0.0.1:8000/v1/chat/completions", {}, "give what is before it"),
        ("", {}, "model.url is empty"),
    ],
)
def test_others_are_refused_with_what_they_lack(url: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        check_server(Model(url=url), environ)


def test_a_network_of_ones_own_may_be_trusted() -> None:
    assert check_server(Model(url="http://gpu1:8000", trust_network=True), {})


class _Redirecting(http.server.BaseHTTPRequestHandler):
    """Shows what key it was shown, and sends to itself under another name whoever asks for /away."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/here")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Generator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (_Redirecting,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}", seen
        listening.shutdown()
        thread.join()


def test_the_key_is_shown_to_the_server_and_goes_nowhere_else(server: tuple[str, list[str]]) -> None:
    url, seen = server

    async def go() -> None:
        client = HttpClient(url, at_once=1, key="secret")
        with anyio.fail_after(10):
            await client.call("/here", seconds=5)
            with pytest.raises(HttpFailed, match="302"):
                await client.call("/away", seconds=5)

    anyio.run(go)
    assert seen == ["Bearer secret", "Bearer secret"]
