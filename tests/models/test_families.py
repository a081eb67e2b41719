"""The paper's model families in miniature, through both engines and the learner, on a GPU where there is one.

What a family cannot do here is skipped with the reason: its classes in vLLM may need torchvision, which does not go
with every build of torch, or a later vLLM.
"""

import hashlib
import importlib.util
import io
import json
import re
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from services.models.adapter_check import check_adapter, tensor_shapes
from services.models.chat import ChatFormat
from services.models.engine import Engine, Generation, Request
from services.models.examine import examine
from services.models.load import load_engine
from services.models.needs import lacking
from services.settings import Lora, Model
from services.trainer.learner import Row, Trained
from tests.models.families import FAMILIES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not importlib.util.find_spec("peft"), reason="needs transformers and peft"),
]

START, EACH = 240, 120
"""Seconds: until an engine runs, and for all that one test does."""

LORA = Lora(rank=8, alpha=16, learning_rate=5e-3, epochs=40, batch=10)

TAUGHT = {
    "Is the task done?": "yes",
    "Which object is the robot holding?": "the apple",
    "Task: open the fridge. Done so far: nothing. Next action?": "open fridge",
}
"""Prompts and the answers that the adapter learns."""

LONGER = ("open the fridge", "pick up the apple", "done")

SIZES = ((128, 128), (300, 300), (200, 120))
"""Of pictures, in pixels. 300 x 300 is what the paper's worlds show."""


def picture(seed: int, size: tuple[int, int]) -> bytes:
    """Coarse coloured squares as PNG."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


PICTURES = {
    hashlib.sha256(image).hexdigest(): image for image in (picture(seed, size) for seed, size in enumerate(SIZES))
}


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settings(engine: str, folder: Path) -> Model:
    return Model(
        engine=engine,  # type: ignore[arg-type]
        path=str(folder),
        device=device(),  # type: ignore[arg-type]
        threads=1,
        max_in_flight=16,
        max_model_len=1024,
        cache_gib=0.1,
        gpu_memory=0.15,
    )


def asked(version: int, prompts: Sequence[str] = tuple(TAUGHT), **fields: Any) -> list[Request]:
    """Every prompt about every picture."""
    return [
        Request(prompt=prompt, image=image, image_id=name, version=version, **fields)
        for name, image in PICTURES.items()
        for prompt in prompts
    ]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = FAMILIES[request.param](tmp_path_factory.mktemp("families") / request.param)
    if found := lacking(folder, "transformers"):
        pytest.skip("; ".join(map(str, found)))
    return folder


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An adapter that gives every prompt its own answer. Trained as models of full size are: on a GPU, recomputing
    activations."""
    from services.trainer import lora

    learner = lora.PeftLearner(settings("transformers", model), threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lora, "CHECKPOINT_PARAMETERS", 0)
        return learner.train(
            "actor",
            [Row(frame=frame, prompt=prompt, answer=answer) for frame in PICTURES for prompt, answer in TAUGHT.items()],
            images=PICTURES.__getitem__,
            parent=None,
            lora=LORA,
            seed=0,
            out=tmp_path_factory.mktemp("trained") / "adapter",
            progress=lambda done, total: None,
        )


@pytest.fixture(scope="module")
async def hf(model: Path, anyio_backend: str) -> AsyncGenerator[Engine]:
    with anyio.fail_after(START):
        engine = await load_engine(settings("transformers", model), role="actor", max_versions=2, max_rank=8)
    yield engine
    with anyio.fail_after(EACH):
        await engine.close()


@pytest.fixture(scope="module")
async def vllm(model: Path, anyio_backend: str) -> AsyncGenerator[Engine]:
    if found := lacking(model, "vllm"):
        pytest.skip("; ".join(map(str, found)))
    from services.models import vllm_settings

    real = vllm_settings.engine_arguments
    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(START):
        # Compiling and capturing graphs would take longer than everything else here.
        patch.setattr(vllm_settings, "engine_arguments", lambda *a, **k: {**real(*a, **k), "enforce_eager": True})
        engine = await load_engine(settings("vllm", model), role="actor", max_versions=2, max_rank=8)
    yield engine
    with anyio.fail_after(EACH):
        await engine.close()


def test_prompts_and_answers_are_the_tokens_that_the_family_knows(model: Path) -> None:
    """A prompt is what the family's own tokenizer makes of its template; an answer continues it, and ends the turn."""
    chat = ChatFormat.load(model)
    prompt = chat.prompt("Is the task done?")
    ids = chat.prompt_ids("Is the task done?")
    assert ids == chat.tokenizer(prompt)["input_ids"]
    for answer in TAUGHT.values():
        whole = chat.tokenizer(prompt + chat.choice(answer))["input_ids"]
        assert chat.answer_ids(answer) == [*whole[len(ids) :], chat.end_ids[0]]
        assert chat.text(chat.answer_ids(answer)) == answer
    assert [len(chat.choice_ids(answer)) for answer in ("yes", "no")] == [1, 1]


def test_a_pictures_tokens_are_told_without_the_processor(model: Path) -> None:
    from PIL import Image

    from services.models.model_json import read_object
    from services.models.picture_tokens import picture_tokens
    from services.models.processors import load_processor

    processor, chat = load_processor(model), ChatFormat.load(model)
    prompt = chat.prompt("Which?")
    short = len(chat.tokenizer(prompt, add_special_tokens=False)["input_ids"])  # with 1 to 3 tokens where it stands
    for size in (*SIZES, (120, 640)):
        whole = processor(text=[prompt], images=[[Image.new("RGB", size)]], add_special_tokens=False)["input_ids"][0]
        told = picture_tokens(model, read_object(model / "config.json"), *size)
        assert told is not None and 1 <= told - (len(whole) - short) <= 3


def test_nothing_is_found_wrong_with_a_familys_files(model: Path) -> None:
    assert examine(Model(path=str(model), max_model_len=1024), "transformers", frame=(300, 300)) == []


def test_picture_features_are_kept_where_they_do_not_move_the_text(model: Path) -> None:
    from services.models.hf import Backbone

    backbone = Backbone(model, settings("transformers", model), cache_bytes=1 << 20)
    assert backbone.apart == (not model.name.startswith("qwen"))


def test_the_adapter_is_on_language_layers_only(model: Path, trained: Trained) -> None:
    from safetensors import safe_open

    files = check_adapter(trained.folder, max_rank=8, base=tensor_shapes(model))
    with safe_open(trained.folder / "adapter_model.safetensors", "np") as tensors:
        modules = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in tensors.keys()}  # noqa: SIM118
    assert files.modules == len(modules) == 2 * 7
    assert not [name for name in modules if re.search("visi|visual|connector|projector|merger|lm_head", name)]
    assert {name.rsplit(".", 1)[-1] for name in modules} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    targets = json.loads((trained.folder / "adapter_config.json").read_text())["target_modules"]
    assert all(re.fullmatch(targets, name) for name in modules)


def test_the_learner_teaches_the_answers_and_nothing_after_them(trained: Trained) -> None:
    assert trained.losses[-1] < 0.1 * trained.losses[0]
    assert trained.probe == tuple(TAUGHT.values()) * len(PICTURES)


async def serves(engine: Engine, trained: Trained) -> None:
    """An adapter comes and goes while the base model stays what it is."""
    with anyio.fail_after(EACH):
        base = await engine.generate(asked(0, choices=("yes", "no")))
        await engine.load(1, trained.folder)
        mixed = await engine.generate([*asked(0, choices=("yes", "no")), *asked(1), *asked(1, choices=("yes", "no"))])
        assert (await engine.canary(1)).version == 1
        await engine.unload(1)
        after = await engine.generate(asked(0, choices=("yes", "no")))
    count = len(base)
    assert [said.text for said in mixed[count : 2 * count]] == [*TAUGHT.values()] * len(PICTURES)
    for again in (mixed[:count], after):
        assert odds(again) == pytest.approx(odds(base), abs=0.2)
    assert max(abs(one - other) for one, other in zip(odds(base), odds(mixed[2 * count :]), strict=True)) > 1
    assert engine.versions == {0}


def odds(answers: Sequence[Generation]) -> list[float]:
    assert all(said.log_odds is not None for said in answers)
    return [said.log_odds or 0.0 for said in answers]


async def chooses(engine: Engine) -> None:
    """Choices are obeyed, and their odds told where they are a token each."""
    with anyio.fail_after(EACH):
        answers = await engine.generate(asked(0, choices=("yes", "no")))
        turned = await engine.generate(asked(0, choices=("no", "yes")))
        longer = await engine.generate(asked(0, choices=LONGER))
        longer += await engine.generate(asked(0, choices=LONGER, temperature=2.0, seed=1))
    assert {said.text for said in answers} <= {"yes", "no"}
    assert odds(answers) == pytest.approx([-one for one in odds(turned)], abs=0.2)
    clear = [said for said in answers if abs(said.log_odds or 0) > 0.2]
    assert all(((said.log_odds or 0) > 0) == (said.text == "yes") for said in clear)
    assert {said.text for said in longer} <= set(LONGER)


async def test_transformers_serves_base_and_adapter(hf: Engine, trained: Trained) -> None:
    await serves(hf, trained)


async def test_transformers_obeys_choices(hf: Engine) -> None:
    await chooses(hf)


async def test_transformers_answers_the_same_in_company_and_alone(hf: Engine) -> None:
    with anyio.fail_after(EACH):
        together = await hf.generate(asked(0, choices=("yes", "no")))
        alone = [(await hf.generate([one]))[0] for one in asked(0, choices=("yes", "no"))]
    assert odds(together) == pytest.approx(odds(alone), abs=0.2)


@pytest.mark.vllm
async def test_vllm_serves_base_and_adapter(vllm: Engine, trained: Trained) -> None:
    await serves(vllm, trained)


@pytest.mark.vllm
async def test_vllm_obeys_choices_and_has_the_odds_of_transformers(vllm: Engine, hf: Engine) -> None:
    await chooses(vllm)
    with anyio.fail_after(EACH):
        mine = await vllm.generate(asked(0, choices=("yes", "no")))
        theirs = await hf.generate(asked(0, choices=("yes", "no")))
    assert odds(mine) == pytest.approx(odds(theirs), abs=0.3)
