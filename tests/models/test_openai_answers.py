"""Answers of servers other than vLLM, and of proxies before them: which are read, and what is said of others."""

import http.server
import threading
from collections.abc import Callable, Generator
from typing import Any

import anyio
import pytest

from services.models import openai_engine
from services.models.engine import EngineError, Request
from services.models.http_client import HttpBroken, HttpClient, HttpFailed
from services.models.openai_chat import read_answer
from services.models.server import KEY_VARIABLE, server_key
from tests.models.tiny import picture

pytestmark = pytest.mark.anyio
EACH = 20


def said(content: object, logprobs: object = None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "logprobs": logprobs, "finish_reason": "stop"}]}


ASKED = Request(prompt="Is it open?", image=picture(1), image_id="x")


@pytest.mark.parametrize(
    ("content", "text"), [(" yes\n", "yes"), (None, ""), ("", ""), ([{"type": "text", "text": "yes"}], "yes")]
)
def test_an_answer_is_read_in_all_its_forms(content: object, text: str) -> None:
    assert read_answer(ASKED, said(content)).text == text


@pytest.mark.parametrize("token", [{"logprob": None}, {"logprob": "-0.1"}, {"logprob": None, "top_logprobs": None}])
def test_probabilities_that_are_no_numbers_are_none(token: dict[str, Any]) -> None:
    found = read_answer(ASKED, said("yes", {"content": [{"token": "yes", **token}]}))
    assert (found.log_prob, found.log_odds) == (None, None)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"error": {"message": "model overloaded"}}, "model overloaded"), ("<html>hi", "<html>hi"),
        ({"choices": []}, "choices"), (said(7), "7"), ([], r"\[\]"), ("data: {}\n\ndata: [DONE]", "DONE"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_shown_as_it_came(answer: object, shown: str) -> None:
    with pytest.raises(EngineError, match=f"no OpenAI chat completion: it said .*{shown}"):
        read_answer(ASKED, answer)


@pytest.mark.parametrize("behind", ["", "/", "/v1", "/v1/", "/v1/models", "/v1/chat/completions", "/v1/completions/"])
@pytest.mark.parametrize("server", ["http://127.0.0.1:8000", "https://gpu1/llm"])
def test_a_route_that_was_copied_behind_the_address_is_taken_off(server: str, behind: str) -> None:
    assert HttpClient(server + behind, at_once=1).url == server


@pytest.mark.parametrize("key", ["abc", " abc\n", "Bearer abc", "Bearer abc\r\n"])
def test_a_key_is_taken_as_people_copy_it(key: str) -> None:
    assert server_key({KEY_VARIABLE: key}) == "abc"


class _Odd(http.server.BaseHTTPRequestHandler):
    answer: Callable[["_Odd"], None]

    def do_GET(self) -> None:
        type(self).answer(self)

    def log_message(self, format: str, *args: Any) -> None: ...


def _half(handler: _Odd) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choi')


def _busy(after: str) -> Callable[[_Odd], None]:
    def answer(handler: _Odd) -> None:
        handler.send_response(429)
        handler.send_header("Retry-After", after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture
def odd() -> Generator[HttpClient]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Odd) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield HttpClient(f"http://127.0.0.1:{server.server_port}", at_once=1)
        server.shutdown()
        thread.join()


async def test_an_answer_that_breaks_off_is_a_broken_connection(odd: HttpClient) -> None:
    _Odd.answer = _half
    with anyio.fail_after(EACH), pytest.raises(HttpBroken, match="994 more expected"):
        await odd.call("/v1/models", seconds=EACH)


@pytest.mark.parametrize(
    ("after", "pause"), [("2", 2.0), ("9999", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("", 0.0), ("nan", 0.0)]
)
async def test_a_busy_server_says_when_to_ask_again(odd: HttpClient, after: str, pause: float) -> None:
    _Odd.answer = _busy(after)
    with anyio.fail_after(EACH), pytest.raises(HttpFailed) as failed:
        await odd.call("/v1/models", seconds=EACH)
    assert (failed.value.later, failed.value.pause) == (True, pause)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 524, 529])
def test_a_server_or_proxy_that_is_overloaded_is_asked_again(status: int) -> None:
    assert HttpFailed(status, "").later


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_a_question_that_is_refused_for_good_is_not_asked_again(status: int) -> None:
    assert not HttpFailed(status, "").later


async def test_the_engine_waits_as_long_as_the_server_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    class Busy:
        url = "http://here"
        asked = 0

        async def call(self, path: str, body: object = None, *, seconds: float) -> object:
            self.asked += 1
            if self.asked == 1:
                raise HttpFailed(429, "", pause=7.0)
            return said("yes")

    monkeypatch.setattr(openai_engine.anyio, "sleep", sleep)
    engine = openai_engine.OpenAIEngine.__new__(openai_engine.OpenAIEngine)
    monkeypatch.setattr(engine, "_client", Busy(), raising=False)
    assert await engine._ask({}) == said("yes")  # pyright: ignore[reportPrivateUsage]
    assert waited == [7.0]
