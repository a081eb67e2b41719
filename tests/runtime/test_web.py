"""The watching machines' pages: what is asked for is answered, and nothing else, and nobody without the token."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import pytest

from runtime.settings import SettingsError
from runtime.sockets import background
from runtime.web import CONNECTIONS, HEAD_BYTES, Page, read_token, serve_pages

pytestmark = pytest.mark.anyio
SECONDS = 20
TOKEN = "a-token-of-some-length"


async def hello() -> Page:
    return Page("hello\n")


async def broken() -> Page:
    raise RuntimeError("no figures")


Ask = Callable[[bytes], Awaitable[tuple[int, str]]]


@asynccontextmanager
async def served(token: str | None = None) -> AsyncGenerator[tuple[Ask, int]]:
    with anyio.fail_after(SECONDS):
        async with background() as tasks:
            pages = {"/hello": hello, "/broken": broken}
            port: int = await tasks.start(partial(serve_pages, "127.0.0.1", 0, pages, token=token))

            async def ask(request: bytes) -> tuple[int, str]:
                async with await anyio.connect_tcp("127.0.0.1", port) as client:
                    await client.send(request)
                    return await answer(client)

            yield ask, port


async def answer(client: anyio.abc.SocketStream) -> tuple[int, str]:
    """Status and body; 0 where the connection was closed without an answer."""
    data = b""
    try:
        while True:
            data += await client.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        return 0, ""
    assert f"content-length: {len(body)}".encode() in head.lower() and b"connection: close" in head.lower()
    return int(head.split(b" ")[1]), body.decode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /hello?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:9400\r\n\r\n", 200),
        (b"GET /hello HTTP/1.1\r\nHost: [::1]:9400\r\n\r\n", 200),
        (b"GET /hello HTTP/1.1\r\nHost: rebound.example:9400\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"POST /hello HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /broken HTTP/1.1\r\n\r\n", 0),
    ],
)
async def test_a_request_is_answered_by(request_: bytes, status: int) -> None:
    async with served() as (ask, _):
        assert (await ask(request_))[0] == status
        assert await ask(b"GET /hello HTTP/1.1\r\n\r\n") == (200, "hello\n")


@pytest.mark.parametrize("header", [b"", b"Authorization: Bearer no\r\n", b"Authorization: Basic " + TOKEN.encode()])
async def test_without_the_token_nothing_is_said_not_even_which_pages_there_are(header: bytes) -> None:
    async with served(TOKEN) as (ask, _):
        for path in (b"/hello", b"/nothing"):
            assert (await ask(b"GET " + path + b" HTTP/1.1\r\n" + header.rstrip() + b"\r\n\r\n"))[0] == 401
        given = b"GET /hello HTTP/1.1\r\nhost: far.example\r\nauthorization: bearer " + TOKEN.encode() + b"\r\n\r\n"
        assert await ask(given) == (200, "hello\n")


async def test_clients_that_ask_slowly_or_never_are_let_go_and_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.web.REQUEST_SECONDS", 0.2)
    async with served() as (ask, port):
        idle = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(2 * CONNECTIONS)]
        await idle[0].send(b"GET /hel")
        assert await answer(idle[-1]) == (0, ""), "it is one too many"
        assert await answer(idle[0]) == (0, ""), "its time is up"
        while (await ask(b"GET /hello HTTP/1.1\r\n\r\n"))[0] != 200:
            pass
        for client in idle:
            await client.aclose()


def test_the_token_must_be_private_and_is_wanted_where_other_machines_could_ask(tmp_path: Path) -> None:
    assert read_token("127.0.0.1", "") is None and read_token("::1", "") is None
    for host in ("0.0.0.0", "192.168.1.5", "here.example"):
        with pytest.raises(SettingsError, match=r"set metrics\.token_file"):
            read_token(host, "")
    file = tmp_path / "token"
    with pytest.raises(SettingsError, match="cannot read"):
        read_token("0.0.0.0", str(file))
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_token("0.0.0.0", str(file))
    file.chmod(0o600)
    assert read_token("0.0.0.0", str(file)) == TOKEN
    for text in ("short", "two words of some length", "ünicode-of-some-length"):
        file.write_text(text)
        with pytest.raises(SettingsError, match="holds no token"):
            read_token("127.0.0.1", str(file))
