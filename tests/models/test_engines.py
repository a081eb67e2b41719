"""What every engine promises (`services.models.engine`), tried on each of them."""

import hashlib
import importlib.util
import itertools
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from services.models.engine import AdapterRefused, Engine, Generation, Request, UnknownVersion
from services.models.load import load_engine
from services.models.scripted_engine import ScriptedEngine
from services.settings import Model
from tests.models.tiny import build_adapter, picture
from tests.standins.openai_server import serve_openai

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

ENGINES = [
    "scripted",
    "openai",
    pytest.param(
        "transformers",
        marks=pytest.mark.skipif(not importlib.util.find_spec("peft"), reason="needs transformers and peft"),
    ),
    pytest.param(
        "vllm",
        marks=[pytest.mark.vllm, pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="needs vllm")],
    ),
]

PROMPT = "Task: open the fridge. Is the task done?"
ACT = "Task: open the fridge. Done so far: nothing. Next action?"
START, EACH = 240, 60
"""Seconds: until an engine runs, and for all that one test does."""

SLOTS = 3
MakeAdapter = Callable[[str, int], Path]
_tens = itertools.count(10, 10)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=ENGINES)
async def engine(request: pytest.FixtureRequest, served_model: Path, anyio_backend: str) -> AsyncGenerator[Engine]:
    with ExitStack() as server:
        if request.param == "scripted":
            started: Engine = ScriptedEngine(role="actor", max_versions=SLOTS)
        else:
            url = server.enter_context(serve_openai()).url if request.param == "openai" else ""
            settings = Model(
                engine=request.param, path=str(served_model), url=url, device="cpu", max_in_flight=16, cache_gib=0.1
            )
            with anyio.fail_after(START):
                started = await load_engine(settings, role="actor", max_versions=SLOTS, max_rank=8)
        yield started
        with anyio.fail_after(EACH):
            await started.close()


@pytest.fixture
async def fresh(engine: Engine) -> AsyncGenerator[Engine]:
    """The engine, and afterwards without the adapters of the test."""
    yield engine
    with anyio.fail_after(EACH):
        for version in engine.versions:
            await engine.unload(version)


@pytest.fixture
def ten() -> int:
    """Ten version numbers from here on are this test's own: an engine remembers for ever what a version was."""
    return next(_tens)


@pytest.fixture
def adapter(engine: Engine, served_model: Path, tmp_path: Path) -> MakeAdapter:
    """Makes an adapter folder that this engine takes: ``adapter(name, seed)``."""

    def make(name: str, seed: int) -> Path:
        if engine.identity.name != "scripted":
            return build_adapter(tmp_path / name, served_model, seed=seed)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "SCRIPTED"}))
        (folder / "adapter_model.json").write_text(json.dumps({"skill": 0.2 + seed / 10}))
        return folder

    return make


def ask(prompt: str = PROMPT, *, seen: int = 0, **fields: Any) -> Request:
    image = picture(seen)
    return Request(prompt=prompt, image=image, image_id=hashlib.sha256(image).hexdigest(), **fields)


def many(version: int, count: int = 12, **fields: Any) -> list[Request]:
    return [ask(seen=seen, version=version, **fields) for seen in range(count)]


NOISE = 0.02
"""Nats by which the log-probability of one answer may differ: how requests are batched changes the order of sums."""


def same(answers: list[Generation], others: list[Generation]) -> bool:
    """Whether both hold the same texts with the same log-probabilities."""
    return [said.text for said in answers] == [said.text for said in others] and [
        said.log_prob or 0.0 for said in answers
    ] == pytest.approx([said.log_prob or 0.0 for said in others], abs=NOISE)


async def test_it_says_what_it_is_and_serves_the_base_model(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        said = await fresh.canary()
    assert said.version == 0
    assert fresh.versions == {0}
    assert not fresh.in_flight
    assert all([fresh.identity.name, fresh.identity.version, fresh.identity.device])
    assert "@" in fresh.identity.base_model


async def test_answers_come_in_order_and_do_not_depend_on_company(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        together = await fresh.generate(many(0))
        alone = [(await fresh.generate([one]))[0] for one in many(0)]
    assert [said.text for said in together] == [said.text for said in alone]
    assert len({said.log_prob for said in together}) > 1


async def test_versions_coexist_and_each_answers_as_itself(fresh: Engine, adapter: MakeAdapter, ten: int) -> None:
    with anyio.fail_after(EACH):
        before = await fresh.generate(many(0))
        await fresh.load(ten + 1, adapter("one", 1))
        await fresh.load(ten + 2, adapter("two", 2))
        mixed = [request for trio in zip(many(0), many(ten + 1), many(ten + 2), strict=True) for request in trio]
        answers = await fresh.generate(mixed)
        alone = await fresh.generate(many(ten + 2))
    assert [said.version for said in answers] == [0, ten + 1, ten + 2] * 12
    base, one, two = ([said for said in answers if said.version == version] for version in (0, ten + 1, ten + 2))
    assert not same(base, one) and not same(one, two) and not same(two, base)
    assert [said.text for said in base] == [said.text for said in before]
    assert [said.text for said in two] == [said.text for said in alone]


async def test_answers_before_and_after_a_swap_differ_while_requests_run(
    fresh: Engine, adapter: MakeAdapter, ten: int
) -> None:
    old: list[Generation] = []
    new: list[Generation] = []
    with anyio.fail_after(EACH):
        await fresh.load(ten + 1, adapter("one", 1))
        async with anyio.create_task_group() as tasks:

            async def go_on() -> None:
                while len(old) < 60:
                    old.extend(await fresh.generate(many(ten + 1, 6)))

            tasks.start_soon(go_on)
            await fresh.load(ten + 2, adapter("two", 2))
            new += await fresh.generate(many(ten + 2, 6))
    assert {said.version for said in old} == {ten + 1}
    assert same(old[:6], old[-6:])
    assert not same(new, old[:6])


async def test_a_request_for_a_version_that_is_not_loaded_fails_before_anything_ran(fresh: Engine) -> None:
    with anyio.fail_after(EACH), pytest.raises(UnknownVersion, match="actor@9"):
        await fresh.generate([ask(), ask(version=9)])
    assert not fresh.in_flight


async def test_unloading_waits_for_what_is_in_flight_and_takes_nothing_new(
    fresh: Engine, adapter: MakeAdapter, ten: int
) -> None:
    answers: list[Generation] = []
    with anyio.fail_after(EACH):
        await fresh.load(ten + 1, adapter("one", 1))
        async with anyio.create_task_group() as tasks:

            async def many_answers() -> None:
                answers.extend(await fresh.generate(many(ten + 1, 40, max_tokens=8)))

            tasks.start_soon(many_answers)
            while not fresh.in_flight:
                await anyio.lowlevel.checkpoint()
            assert fresh.in_flight == {ten + 1: 40}
            await fresh.unload(ten + 1)
            assert not fresh.in_flight
        assert len(answers) == 40
        assert fresh.versions == {0}
        with pytest.raises(UnknownVersion):
            await fresh.generate([ask(version=ten + 1)])
        await fresh.unload(ten + 1)


async def test_a_version_keeps_its_content_for_ever(fresh: Engine, adapter: MakeAdapter, ten: int) -> None:
    one, other = adapter("one", 1), adapter("other", 2)
    with anyio.fail_after(EACH):
        await fresh.load(ten + 1, one)
        await fresh.load(ten + 1, one)
        with pytest.raises(AdapterRefused, match="immutable"):
            await fresh.load(ten + 1, other)
        first = await fresh.generate(many(ten + 1))
        await fresh.unload(ten + 1)
        with pytest.raises(AdapterRefused, match="immutable"):
            await fresh.load(ten + 1, other)
        await fresh.load(ten + 1, one)
        assert same(await fresh.generate(many(ten + 1)), first)


async def test_when_all_slots_are_taken_a_further_version_is_refused(
    fresh: Engine, adapter: MakeAdapter, ten: int
) -> None:
    with anyio.fail_after(EACH):
        for slot in range(1, SLOTS + 1):
            await fresh.load(ten + slot, adapter(f"v{slot}", slot))
        base = await fresh.generate(many(0, 4))
        with pytest.raises(AdapterRefused, match="no free slot"):
            await fresh.load(ten + 9, adapter("more", 5))
        mixed = await fresh.generate([*many(0, 4), *many(ten + 1, 4), *many(ten + SLOTS, 4)])
    assert same(mixed[:4], base), "requests to the base model must not get the last slot's adapter"


@pytest.mark.parametrize("damage", ["half", "header", "missing", "config", "empty folder"])
async def test_a_damaged_adapter_is_refused_and_the_rest_goes_on(
    fresh: Engine, adapter: MakeAdapter, ten: int, damage: str
) -> None:
    folder = adapter("good", 1)
    weights = next(file for file in folder.iterdir() if file.name.startswith("adapter_model"))
    if damage == "half":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif damage == "header":
        weights.write_bytes(b"\xff" * 16 + weights.read_bytes()[16:])
    elif damage == "missing":
        weights.unlink()
    elif damage == "config":
        (folder / "adapter_config.json").write_text("{")
    else:
        for file in folder.iterdir():
            file.unlink()
    with anyio.fail_after(EACH):
        before = await fresh.generate(many(0, 4))
        with pytest.raises(AdapterRefused):
            await fresh.load(ten + 1, folder)
        assert fresh.versions == {0}
        assert same(await fresh.generate(many(0, 4)), before)
        await fresh.load(ten + 1, adapter("better", 2))
        assert (await fresh.canary(ten + 1)).version == ten + 1


async def test_choices_are_obeyed_and_log_odds_tell_the_same(fresh: Engine, adapter: MakeAdapter, ten: int) -> None:
    with anyio.fail_after(EACH):
        await fresh.load(ten + 1, adapter("one", 1))
        answers = await fresh.generate([*many(0, choices=("yes", "no")), *many(ten + 1, choices=("yes", "no"))])
        turned = await fresh.generate(many(0, choices=("no", "yes")))
    assert all(said.text in ("yes", "no") for said in answers)
    assert all(said.log_odds is not None for said in answers)
    clear = [said for said in answers if abs(said.log_odds or 0) > 0.01]
    assert clear
    assert all(((said.log_odds or 0) > 0) == (said.text == "yes") for said in clear)
    for one, other in zip(answers, turned, strict=False):
        assert one.log_odds == pytest.approx(-(other.log_odds or 0), abs=0.05)


async def test_longer_choices_are_obeyed_to_the_letter(fresh: Engine) -> None:
    choices = ("open the fridge now", "find mug", "done")
    with anyio.fail_after(EACH):
        answers = await fresh.generate([ask(ACT, seen=seen, choices=choices) for seen in range(8)])
    assert all(said.text in choices for said in answers)
    assert all(said.log_odds is None for said in answers)


async def test_sampling_follows_its_seed(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        one = await fresh.generate([ask(ACT, temperature=1.5, seed=seed) for seed in range(24)])
        again = await fresh.generate([ask(ACT, temperature=1.5, seed=seed) for seed in reversed(range(24))])
    assert [said.text for said in one] == [said.text for said in again[::-1]]
    assert len({said.text for said in one}) > 1


async def test_each_request_keeps_to_its_own_terms_in_a_mixed_batch(fresh: Engine) -> None:
    """Sampled and greedy, free and bound, short and long ones: they end at different tokens of the same batch."""
    kinds: list[Any] = [
        {"choices": ("yes", "no")},
        {"choices": ("open the fridge now", "find mug", "done")},
        {"choices": ("yes", "no"), "temperature": 1.5, "seed": 7},
        {"choices": ("find mug", "done"), "temperature": 2.0, "seed": 8},
        {"temperature": 1.5, "seed": 9, "max_tokens": 3},
        {"max_tokens": 9},
    ]
    asked = [ask(ACT, seen=seen, **kind) for seen, kind in enumerate(kinds * 2)]
    with anyio.fail_after(EACH):
        together = await fresh.generate(asked)
        alone = [(await fresh.generate([one]))[0] for one in asked]
    assert [said.text for said in together] == [said.text for said in alone]
    assert all(said.log_odds is not None for said in together[::6] + together[2::6])
    for one, other in zip(together, alone, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=0.1)
        assert one.log_odds == pytest.approx(other.log_odds, abs=0.1)


async def test_log_odds_do_not_depend_on_the_temperature(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        cold, warm = await fresh.generate(
            [ask(choices=("yes", "no")), ask(choices=("yes", "no"), temperature=0.5, seed=3)]
        )
    assert abs(cold.log_odds or 0) == pytest.approx(abs(warm.log_odds or 0), abs=0.1)


async def test_background_requests_are_answered_too(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        answers = await fresh.generate([*many(0, 6, background=True), *many(0, 6)])
    assert same(answers[:6], answers[6:])


async def test_a_cancelled_call_leaves_nothing_in_flight(fresh: Engine) -> None:
    with anyio.fail_after(EACH):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fresh.generate, many(0, 40))
            while not fresh.in_flight:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert not fresh.in_flight
        assert (await fresh.canary()).version == 0
