"""The engine behind an OpenAI-compatible server, when that server fails in the ways servers do."""

import hashlib
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from services.models import openai_engine
from services.models.engine import AdapterRefused, EngineDead, EngineError, Request
from services.models.load import load_engine
from services.models.openai_engine import OpenAIEngine
from services.settings import Model
from tests.models.tiny import build_adapter, picture
from tests.standins.openai_server import OpenAIStandIn, serve_openai

pytestmark = pytest.mark.anyio
EACH = 20


@pytest.fixture
def server() -> Generator[OpenAIStandIn]:
    with serve_openai() as stand_in:
        yield stand_in


@pytest.fixture
async def engine(server: OpenAIStandIn, anyio_backend: str) -> AsyncGenerator[OpenAIEngine]:
    with anyio.fail_after(EACH):
        started = await load_engine(Model(engine="openai", url=server.url), role="critic", max_versions=2)
    assert isinstance(started, OpenAIEngine)
    yield started
    with anyio.fail_after(EACH):
        await started.close()


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return build_adapter(tmp_path / "adapter", SHAPES, seed=1)


SHAPES = {f"model.text_model.layers.0.self_attn.{name}.weight": (8, 8) for name in ("q_proj", "v_proj")}


def ask(**fields: Any) -> Request:
    image = picture(1)
    return Request(prompt="Is it open?", image=image, image_id=hashlib.sha256(image).hexdigest(), **fields)


async def test_a_question_is_asked_again_after_server_errors(
    server: OpenAIStandIn, engine: OpenAIEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.01)
    with anyio.fail_after(EACH):
        expected = await engine.generate([ask()])
        server.failures = [500, 503]
        assert await engine.generate([ask()]) == expected


async def test_errors_without_end_are_an_engine_error_and_the_engine_lives(
    server: OpenAIStandIn, engine: OpenAIEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.01)
    server.failures = [500] * openai_engine.TRIES
    with anyio.fail_after(EACH):
        with pytest.raises(EngineError, match="broken on purpose") as failure:
            await engine.generate([ask()])
        assert not isinstance(failure.value, EngineDead)
        assert (await engine.canary()).text


async def test_a_bad_request_is_not_asked_again(server: OpenAIStandIn, engine: OpenAIEngine) -> None:
    asked = server.asked
    server.failures = [400]
    with anyio.fail_after(EACH), pytest.raises(EngineError, match="HTTP 400"):
        await engine.generate([ask()])
    assert server.asked == asked + 1


async def test_a_server_that_hangs_is_dead_after_the_deadline(
    server: OpenAIStandIn, engine: OpenAIEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "ANSWER_SECONDS", 0.2)
    server.hang.set()
    with anyio.fail_after(EACH), pytest.raises(EngineDead, match="no answer"):
        await engine.generate([ask()])
    assert not engine.in_flight


async def test_a_server_that_is_gone_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "PAUSE_SECONDS", 0.01)
    with serve_openai() as server, anyio.fail_after(EACH):
        engine = await load_engine(Model(engine="openai", url=server.url), role="critic", max_versions=1)
    with anyio.fail_after(EACH), pytest.raises(EngineDead, match="gone"):
        await engine.generate([ask()])


async def test_an_adapter_that_the_server_refuses_leaves_the_engine_as_it_was(
    server: OpenAIStandIn, engine: OpenAIEngine, adapter: Path
) -> None:
    server.refuse = "rank too large"
    with anyio.fail_after(EACH):
        with pytest.raises(AdapterRefused, match="rank too large"):
            await engine.load(1, adapter)
        assert engine.versions == {0}
        server.refuse = ""
        await engine.load(1, adapter)
        assert (await engine.canary(1)).version == 1


async def test_an_adapter_whose_canary_fails_is_taken_off_the_server(
    server: OpenAIStandIn, engine: OpenAIEngine, adapter: Path
) -> None:
    server.mute = {"critic@1"}
    with anyio.fail_after(EACH), pytest.raises(AdapterRefused, match="canary"):
        await engine.load(1, adapter)
    assert not server.adapters
    assert engine.versions == {0}


async def test_two_engines_share_a_server_and_an_adapter(
    server: OpenAIStandIn, engine: OpenAIEngine, adapter: Path
) -> None:
    with anyio.fail_after(EACH):
        other = await load_engine(Model(engine="openai", url=server.url), role="critic", max_versions=1)
        await engine.load(1, adapter)
        await other.load(1, adapter)
        assert await engine.generate([ask(version=1)]) == await other.generate([ask(version=1)])
        assert len(server.adapters) == 1


async def test_a_server_that_ignores_choices_is_found_out(server: OpenAIStandIn, engine: OpenAIEngine) -> None:
    server.choices = False
    with anyio.fail_after(EACH), pytest.raises(EngineError, match="choices"):
        await engine.generate([ask(choices=("yes", "no"))])


async def test_closing_takes_its_adapters_off_the_server(
    server: OpenAIStandIn, engine: OpenAIEngine, adapter: Path
) -> None:
    with anyio.fail_after(EACH):
        await engine.load(1, adapter)
        assert server.adapters
        await engine.close()
    assert not server.adapters


async def test_a_missing_url_or_server_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "AWAY_SECONDS", 0.0)
    with anyio.fail_after(EACH):
        with pytest.raises(EngineError, match=r"set it to"):
            await load_engine(Model(engine="openai"), role="critic", max_versions=1)
        with pytest.raises(EngineError, match=r"set model\.url"):
            await load_engine(Model(engine="openai", url="http://127.0.0.1:1"), role="critic", max_versions=1)
