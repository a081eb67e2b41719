"""What only real vLLM can show: the same answers as transformers, and no engine process left behind."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import psutil
import pytest

from runtime.signals import send
from services.models.chat import ChatFormat
from services.models.engine import EngineDead, EngineError, Request
from services.models.folder import MICRO
from services.models.load import load_engine
from services.models.vllm_engine import VllmEngine
from services.settings import Model
from tests.models.tiny import build_adapter, picture

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="needs vllm"),
]

START, EACH = 240, 60


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def settings(engine: str, model: Path) -> Model:
    return Model(engine=engine, path=str(model), device="cpu", max_in_flight=16, cache_gib=0.1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
async def engine(served_model: Path, anyio_backend: str) -> AsyncGenerator[VllmEngine]:
    with anyio.fail_after(START):
        started = await load_engine(settings("vllm", served_model), role="actor", max_versions=2, max_rank=8)
    assert isinstance(started, VllmEngine)
    yield started
    with anyio.fail_after(EACH):
        await started.close()


def questions(version: int) -> list[Request]:
    prompts = [
        "Which object is open?",
        "Task: open the fridge. Done so far: find fridge. Next action?",
        "Where is the apple?",
    ]
    out: list[Request] = []
    for seen in range(8):
        image = picture(seen)
        out += [
            Request(
                prompt=prompt, image=image, image_id=hashlib.sha256(image).hexdigest(), version=version, max_tokens=6
            )
            for prompt in prompts
        ]
    return out


def test_a_choice_may_be_spelled_letter_by_letter(served_model: Path) -> None:
    from services.models.vllm_requests import sampling

    choices = ("pick up the apple", "done")
    asked = sampling(ChatFormat.load(served_model), Request(prompt="", image=b"", image_id="", choices=choices))
    assert asked.parameters.max_tokens > len(choices[0]), "and then the end of the turn"


async def test_a_prompt_that_is_too_long_is_refused_and_says_which_setting_bounds_it(engine: VllmEngine) -> None:
    image = picture(0)
    long = Request(prompt="open the fridge " * 300, image=image, image_id=hashlib.sha256(image).hexdigest())
    with anyio.fail_after(EACH):
        with pytest.raises(EngineError, match=r"model\.max_model_len"):
            await engine.generate([long])
        assert (await engine.canary()).version == 0


async def test_base_and_adapter_answer_as_in_transformers(
    engine: VllmEngine, served_model: Path, tmp_path: Path
) -> None:
    adapter = build_adapter(tmp_path / "adapter", served_model, seed=1, size=0.01)
    with anyio.fail_after(START):
        other = await load_engine(settings("transformers", served_model), role="actor", max_versions=2, max_rank=8)
        try:
            for version in (0, 1):
                if version:
                    await engine.load(1, adapter)
                    await other.load(1, adapter)
                here = await engine.generate(questions(version))
                there = await other.generate(questions(version))
                same = sum(a.text == b.text for a, b in zip(here, there, strict=True))
                assert same >= len(here) - 2, "rounding may turn a near tie, not more"
                gaps = [
                    abs((a.log_prob or 0) - (b.log_prob or 0))
                    for a, b in zip(here, there, strict=True)
                    if a.text == b.text
                ]
                assert sum(gaps) / len(gaps) < 0.15
        finally:
            await engine.unload(1)
            await other.close()


async def test_pictures_skip_the_processor_only_where_that_is_proven(engine: VllmEngine) -> None:
    pictures = engine._pictures
    with anyio.fail_after(EACH):
        await engine.generate(questions(0)[:1])
        assert pictures._templates[(128, 128)] is not None
        small = picture(3, size=96)
        await engine.generate([Request(prompt="Where is the apple?", image=small, image_id="c" * 64)])
    assert pictures._templates[(96, 96)] is None, "this size is resized by the processor"


async def test_an_adapter_that_vllm_would_silently_ignore_is_refused(
    engine: VllmEngine, served_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = build_adapter(tmp_path / "adapter", served_model, seed=1)

    async def ignores(lora: object) -> bool:
        return True

    monkeypatch.setattr(engine._engine, "add_lora", ignores)
    answer = engine._answer

    async def as_base(request: Request, lora: object) -> object:
        return await answer(request, None)

    monkeypatch.setattr(engine, "_answer", as_base)
    with anyio.fail_after(EACH), pytest.raises(EngineError, match="changes nothing"):
        await engine.load(7, adapter)
    assert engine.versions == {0}


async def test_a_prompt_that_is_too_long_is_an_error_of_that_request(engine: VllmEngine) -> None:
    image = picture(0)
    long = Request(prompt="find apple, " * 400, image=image, image_id="a" * 64)
    with anyio.fail_after(EACH):
        with pytest.raises(EngineError, match=r"could not answer .*; set model.max_model_len higher, or world"):
            await engine.generate([long])
        assert (await engine.canary()).version == 0


PROGRAM = """
import sys, anyio
from services.models.load import load_engine
from services.settings import Model

async def main():
    engine = await load_engine(
        Model(engine="vllm", path=sys.argv[1], device="cpu", cache_gib=0.1), role="actor", max_versions=1
    )
    print("up", *[child.pid for child in engine._children], flush=True)
    await anyio.sleep(600)

if __name__ == "__main__":
    anyio.run(main)
"""


async def test_when_the_service_is_killed_its_engine_process_dies_too(served_model: Path, tmp_path: Path) -> None:
    program = tmp_path / "serve.py"
    program.write_text(PROGRAM)
    root = Path(__file__).parents[2]
    command = [sys.executable, str(program), str(served_model)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with anyio.fail_after(START):
        async with await anyio.open_process(command, env=environment, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            said = b""
            async for piece in process.stdout:
                said += piece
                if b"\n" in said:
                    break
            children = [psutil.Process(int(pid)) for pid in said.split()[1:]]
            assert children
            send(process, signal.SIGKILL)
            _, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(children, timeout=20))
            assert not alive


async def test_a_killed_engine_process_is_an_engine_death_and_close_still_works(engine: VllmEngine) -> None:
    """The last test that uses the module's engine: it kills it."""
    with anyio.fail_after(START):
        processes = list(engine._children)
        try:
            await engine.generate(questions(0))
            for process in processes:
                process.kill()
            with pytest.raises(EngineDead):
                while True:
                    await engine.generate(questions(0))
            with pytest.raises(EngineDead):
                await engine.generate(questions(0)[:1])
        finally:
            await engine.close()
    assert processes
    assert not any(process.is_running() for process in processes)


def test_the_micro_model_is_what_these_tests_serve_where_it_is_there(served_model: Path) -> None:
    assert served_model == MICRO or not (MICRO / "config.json").is_file()
