"""What a model server says about itself when it is first met: refused at the start where it will not do."""

import re
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import pytest

from scripts.launch import model_check
from scripts.launch.plan import new_plan
from services.models import canary, openai_engine, server_check
from services.models.engine import AdapterRefused, EngineError, ModelUnusable
from services.models.http_client import HttpBroken, HttpClient
from services.models.load import load_engine
from services.models.server import KEY_VARIABLE
from services.settings import Model
from tests.models.folders import sound_folder
from tests.models.test_openai_engine import SHAPES
from tests.models.tiny import build_adapter
from tests.standins.openai_server import OpenAIStandIn, serve_openai

pytestmark = pytest.mark.anyio
EACH = 20
LORA = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[OpenAIStandIn]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setattr(openai_engine, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.01)
    with serve_openai() as stand_in:
        yield stand_in


async def start(server: OpenAIStandIn, **options: bool) -> openai_engine.OpenAIEngine:
    with anyio.fail_after(EACH):
        engine = await load_engine(Model(engine="openai", url=server.url), role="actor", max_versions=2, **options)
    assert isinstance(engine, openai_engine.OpenAIEngine)
    return engine


def answers(path: str, status: int, body: str) -> Callable[[OpenAIStandIn], None]:
    return lambda server: server.instead.update({path: (status, body)})


FAULTS: dict[str, tuple[Callable[[OpenAIStandIn], None], str]] = {
    "no route for adapters": (answers("/v1/load_lora_adapter", 404, '{"detail": "Not Found"}'), LORA),
    "a route that is forbidden": (answers("/v1/load_lora_adapter", 403, "{}"), LORA),
    "a route that takes no POST": (answers("/v1/load_lora_adapter", 405, "{}"), LORA),
    "a route that is not there yet": (answers("/v1/load_lora_adapter", 501, "{}"), LORA),
    "adapters behind another key": (
        answers("/v1/load_lora_adapter", 401, "{}"),
        f"wants a key (HTTP 401: {{}}): set {KEY_VARIABLE}",
    ),
    "a web page": (
        answers("/v1/models", 200, "<html><body>Welcome</body></html>"),
        "is no OpenAI-compatible server: set model.url",
    ),
    "another service": (answers("/v1/models", 404, "no"), "has no /v1/models (HTTP 404: no); set model.url"),
    "a service that speaks JSON": (
        answers("/v1/models", 200, '{"status": "ok"}'),
        "does not list models as an OpenAI-compatible server does",
    ),
    "a list": (answers("/v1/models", 200, "[]"), "does not list models as an OpenAI-compatible server does"),
    "a key that is missing": (
        answers("/v1/models", 401, '{"error": "Unauthorized"}'),
        f"set {KEY_VARIABLE} in the environment",
    ),
    "a redirect": (answers("/v1/models", 307, ""), "redirects requests"),
    "no model": (answers("/v1/models", 200, '{"data": []}'), "has no model: start it with"),
    "adapters alone": (answers("/v1/models", 200, '{"data": [{"id": "a", "parent": "b"}]}'), "has no model"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_server_that_will_not_do_is_refused_at_the_start_and_by_the_preflight(
    server: OpenAIStandIn, name: str
) -> None:
    fault, said = FAULTS[name]
    fault(server)
    with pytest.raises(ModelUnusable) as refusal:
        await start(server)
    assert said in str(refusal.value) and server.url in str(refusal.value)
    found = await anyio.to_thread.run_sync(problems, server.url, "model.path=micro")
    assert any(said in problem for problem in found)


def problems(url: str, *settings: str) -> list[str]:
    plan = new_plan("household", overrides=["model.engine=openai", f"model.url={url}", *settings])
    return model_check.model_problems(plan.settings)


async def test_a_model_that_the_server_does_not_have_is_named(server: OpenAIStandIn) -> None:
    answers("/v1/models", 200, '{"data": [{"id": "gone"}]}')(server)
    with pytest.raises(ModelUnusable, match=r"'gone' at http.* does not exist.*set model\.url"):
        await start(server)


async def test_a_server_that_is_busy_at_its_start_may_be_met_again(server: OpenAIStandIn) -> None:
    server.failures = [503] * openai_engine.TRIES
    with pytest.raises(EngineError, match="HTTP 503") as failure:
        await start(server)
    assert not isinstance(failure.value, ModelUnusable)


async def test_a_server_that_is_slow_to_answer_is_an_error_and_no_traceback(
    server: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "CANARY_SECONDS", 0.2)
    server.hang.set()
    with pytest.raises(EngineError, match="gave no answer to its canary"):
        await start(server)


async def test_a_server_without_adapters_will_do_where_none_are_loaded(server: OpenAIStandIn) -> None:
    answers("/v1/load_lora_adapter", 404, "{}")(server)
    engine = await start(server, adapters=False)
    with anyio.fail_after(EACH):
        await engine.close()


async def test_a_server_that_takes_any_adapter_keeps_none_of_the_question(server: OpenAIStandIn) -> None:
    server.lenient = True
    engine = await start(server)
    assert not server.adapters
    with anyio.fail_after(EACH):
        await engine.close()


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_an_adapter_refused_for_want_of_a_route_says_what_to_set(
    server: OpenAIStandIn, tmp_path: Path, status: int
) -> None:
    engine = await start(server)
    answers("/v1/load_lora_adapter", status, "{}")(server)
    with anyio.fail_after(EACH), pytest.raises(AdapterRefused, match=LORA):
        await engine.load(1, build_adapter(tmp_path / "adapter", SHAPES, seed=1))


async def test_an_adapter_that_changes_nothing_is_refused_and_taken_off(server: OpenAIStandIn, tmp_path: Path) -> None:
    engine = await start(server)
    server.deaf = True
    with anyio.fail_after(EACH):
        with pytest.raises(AdapterRefused, match="changes nothing"):
            await engine.load(1, build_adapter(tmp_path / "adapter", SHAPES, seed=1))
        assert not server.adapters and engine.versions == {0}
        faint = build_adapter(tmp_path / "faint", SHAPES, seed=1, size=canary.NOTICEABLE / 100)
        await engine.load(1, faint)  # one that is too small to show


@pytest.mark.parametrize(
    ("served", "settings", "refused"),
    [
        ("micro", (), False),
        ("/models/micro", (), False),
        ("Qwen/Qwen2-VL-7B-Instruct", (), True),
        ("Qwen/Qwen2-VL-7B-Instruct", ("model.path=micro",), True),
        ("/models/micro-seed1", ("model.path=micro-seed1",), False),
        ("/models/micro-seed1", ("model.path=micro",), True),
        ("Qwen/Qwen2-VL-7B-Instruct", ("run.rounds=0",), False),
        ("Qwen/Qwen2-VL-7B-Instruct", ("trainer.learner=scripted",), False),
        ("Qwen/Qwen2-VL-7B-Instruct", ("model.path=MODEL",), False),
    ],
)
def test_the_micro_model_is_not_trained_for_somebody_elses_server(
    server: OpenAIStandIn, tmp_path: Path, served: str, settings: tuple[str, ...], refused: bool
) -> None:
    folder = sound_folder(tmp_path / "model")
    answers("/v1/models", 200, f'{{"data": [{{"id": "{served}"}}]}}')(server)
    found = problems(server.url, *(setting.replace("MODEL", str(folder)) for setting in settings))
    assert bool(found) == refused
    assert not found or (f"that is {served!r}" in found[0] and "set model.path to the folder" in found[0])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1:PORT", "cannot be reached .* set it to the server's address"),
        ("http://127.0.0.1:PORT/a b", "has '/a b' after host and port: give http://HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_a_servers_is_refused(server: OpenAIStandIn, url: str, why: str) -> None:
    (said,) = problems(
        url.replace("PORT", server.url.rpartition(":")[2]), "model.path=micro", "model.trust_network=true"
    )
    assert re.search(why, said)


@pytest.mark.parametrize("key", ["schlüssel", "one\ntwo"])
def test_a_key_that_cannot_be_sent_is_refused(server: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    (said,) = problems(server.url, "model.path=micro")
    assert f"{KEY_VARIABLE} is not a valid key" in said
    monkeypatch.setenv(KEY_VARIABLE, "secret\n")
    assert problems(server.url, "model.path=micro") == []


def test_a_server_that_is_not_there_yet_is_waited_for_where_its_model_is_known(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1"
    assert problems(url, f"model.path={sound_folder(tmp_path / 'model')}") == []
    (said,) = problems(url)
    assert "no server answers there now" in said and "set model.path" in said
    assert "is no model folder" in "".join(problems(url, f"model.path={tmp_path}"))
    assert server_check.Served("x", "/a/micro").is_called("micro")


async def test_a_name_that_nobody_has_is_wrong_and_one_that_cannot_be_looked_up_now_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, wrong in ((socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)):

        def look_up(*_: object, number: int = number) -> None:
            raise socket.gaierror(number, "not found")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with anyio.fail_after(EACH), pytest.raises(HttpBroken) as failure:
            await HttpClient("http://gpu1:8000", at_once=1).call("/v1/models", seconds=EACH)
        assert failure.value.wrong == wrong
