"""The scripted engine and learner: deterministic, light, and better the more they have learned."""

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from services.models.engine import AdapterRefused, Request
from services.models.scripted_engine import ScriptedEngine
from services.settings import Lora
from services.trainer.learner import Row, Trained
from services.trainer.scripted import ScriptedLearner

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def train(out: Path, rows: int, parent: Path | None = None, seed: int = 0) -> Trained:
    return ScriptedLearner().train(
        "actor",
        [Row(frame=f"{i:064x}", prompt=f"p{i}", answer="yes" if i % 2 else "no") for i in range(rows)],
        images=lambda digest: b"png",
        parent=parent,
        lora=Lora(),
        seed=seed,
        out=out,
        progress=lambda done, total: None,
    )


def request(prompt: str, image_id: str = "a" * 64, **fields: object) -> Request:
    return Request(prompt=prompt, image=b"", image_id=image_id, **fields)  # pyright: ignore[reportArgumentType]


async def mistakes(engine: ScriptedEngine, version: int) -> int:
    prompt = "Task: open the fridge. Done so far: find fridge. Next action?"
    requests = [request(prompt, image_id=f"{i:064x}", version=version) for i in range(300)]
    return sum(said.text != "open fridge" for said in await engine.generate(requests))


async def test_an_adapter_trained_on_more_rows_makes_fewer_mistakes(tmp_path: Path) -> None:
    engine = ScriptedEngine(role="actor", max_versions=2)
    with anyio.fail_after(5):
        await engine.load(1, train(tmp_path / "1", 200).folder)
        await engine.load(2, train(tmp_path / "2", 800, parent=tmp_path / "1").folder)
        assert await mistakes(engine, 0) > await mistakes(engine, 1) > await mistakes(engine, 2) > 0


async def test_the_policy_carries_a_plan_through_the_prompt_of_the_actor() -> None:
    engine = ScriptedEngine(role="actor", max_versions=1)
    history: list[str] = []
    with anyio.fail_after(5):
        for _ in range(40):
            done = ", ".join(history) or "nothing"
            prompt = f"Task: put the apple in the fridge. Done so far: {done}. Next action?"
            answers = await engine.generate([request(prompt, image_id=f"{i:064x}") for i in range(9)])
            texts = [said.text for said in answers]
            most = max(set(texts), key=texts.count)
            if most == "done":
                break
            history.append(most)
    assert history == ["find apple", "pick up apple", "find fridge", "open fridge", "put apple in fridge"]


async def test_answers_do_not_depend_on_order_or_company_and_follow_the_seed_when_sampled() -> None:
    engine = ScriptedEngine(role="critic", max_versions=1)
    requests = [request("Which object is open?", image_id=f"{i:064x}", temperature=1.0, seed=i) for i in range(50)]
    with anyio.fail_after(5):
        together = await engine.generate(requests)
        alone = [(await engine.generate([one]))[0] for one in reversed(requests)]
    assert together == alone[::-1]
    assert len({said.text for said in together}) > 1


async def test_yes_and_no_carry_log_odds_of_the_answers_sign() -> None:
    engine = ScriptedEngine(role="critic", max_versions=1)
    requests = [
        request("Task: open the fridge. Is the task done?", image_id=f"{i:064x}", choices=("yes", "no"))
        for i in range(50)
    ]
    with anyio.fail_after(5):
        answers = await engine.generate(requests)
    assert {said.text for said in answers} == {"yes", "no"}
    assert all(((said.log_odds or 0) > 0) == (said.text == "yes") for said in answers)


async def test_a_mute_adapter_fails_its_canary_and_is_refused(tmp_path: Path) -> None:
    folder = train(tmp_path / "1", 10).folder
    (folder / "adapter_model.json").write_text('{"skill": 0.5, "mute": true}')
    engine = ScriptedEngine(role="actor", max_versions=1)
    with anyio.fail_after(5), pytest.raises(AdapterRefused, match="canary"):
        await engine.load(1, folder)
    assert engine.versions == {0}


def test_the_same_rows_and_seed_give_the_same_files_and_others_do_not(tmp_path: Path) -> None:
    one, two, three = train(tmp_path / "a", 50), train(tmp_path / "b", 50), train(tmp_path / "c", 60)
    read = [sorted((file.name, file.read_bytes()) for file in t.folder.iterdir()) for t in (one, two, three)]
    assert read[0] == read[1] != read[2]
    assert one.probe == two.probe
    assert len(one.losses) == 10


def test_nothing_heavy_is_imported_on_the_scripted_path() -> None:
    program = (
        "import sys, services.models.load, services.trainer.load, services.models.scripted_engine, "
        "services.trainer.scripted; "
        "print([m for m in ('torch', 'transformers', 'vllm', 'PIL', 'numpy', 'peft') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert said.stdout.strip() == "[]"
