"""The transformers backbone: both ways of feeding a model, and that which one is taken follows from trying."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.models.engine import EngineError, Request
from services.settings import Lora, Model
from services.trainer.learner import Row as Example
from tests.models.tiny import TEMPLATE, build_model, picture

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not importlib.util.find_spec("peft"), reason="needs transformers and peft"),
]

PROMPTS = ("Is it open?", "Which object is the robot holding?", "Where is the apple?")


def backbone(folder: Path, cache_bytes: int = 1 << 20) -> Any:
    from services.models.hf import Backbone

    return Backbone(folder, Model(device="cpu"), cache_bytes=cache_bytes)


def requests(**fields: Any) -> list[Request]:
    return [
        Request(prompt=prompt, image=picture(n), image_id=str(n), max_tokens=4, **fields)
        for n, prompt in enumerate(PROMPTS)
    ]


@pytest.fixture(scope="module")
def qwen(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2-VL, whose rotary positions depend on the picture."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

    folder = tmp_path_factory.mktemp("qwen") / "qwen"
    names = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    tokenizer.chat_template = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    tokenizer.save_pretrained(folder)
    start, end, image, video = tokenizer.convert_tokens_to_ids(names)
    config = Qwen2VLConfig(
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "mlp_ratio": 2,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "initializer_range": 0.15,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = Qwen2VLForConditionalGeneration(config)
    model = model.to(torch.bfloat16)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    return folder


class QwenLike:
    """What Qwen2-VL's processor does for pictures, without the part for videos that needs torchvision."""

    def __init__(self, folder: Path) -> None:
        from transformers import PreTrainedTokenizerFast
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.pictures = Qwen2VLImageProcessorPil(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 16)

    def __call__(self, *, text: Sequence[str], images: Sequence[Any], **options: Any) -> dict[str, Any]:
        encoded = self.pictures([image for row in images for image in row], return_tensors="pt")
        counts = [int(grid.prod()) // 4 for grid in encoded["image_grid_thw"]]
        whole = [one.replace("<|image_pad|>", "<|image_pad|>" * count) for one, count in zip(text, counts, strict=True)]
        pad = {"padding": options.get("padding", False), "padding_side": options.get("padding_side")}
        tokens = self.tokenizer(whole, add_special_tokens=False, return_tensors="pt", **pad)
        kinds = (tokens["input_ids"] == self.tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
        return {**encoded, **tokens, "mm_token_type_ids": kinds}


@pytest.fixture
def qwen_backbone(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import transformers

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda folder, **_: QwenLike(folder))
    return backbone(qwen)


def test_an_idefics3_keeps_picture_features(tiny_model: Path) -> None:
    assert backbone(tiny_model).apart


def test_a_qwen_goes_through_its_processor(qwen_backbone: Any) -> None:
    assert not qwen_backbone.apart


def test_both_ways_give_the_same_answers(tiny_model: Path) -> None:
    from services.models.hf_answers import answer

    model = backbone(tiny_model)
    apart = [*answer(model, requests()), *answer(model, requests(choices=("yes", "no")))]
    model.apart = False
    whole = [*answer(model, requests()), *answer(model, requests(choices=("yes", "no")))]
    assert [said.text for said in apart] == [said.text for said in whole]
    assert [said.log_prob for said in apart] == pytest.approx([said.log_prob for said in whole], abs=0.2)


def test_a_qwen_answers_the_same_in_company_and_alone(qwen_backbone: Any) -> None:
    from services.models.hf_answers import answer

    together = answer(qwen_backbone, requests())
    alone = [answer(qwen_backbone, [one])[0] for one in requests()]
    assert [said.text for said in together] == [said.text for said in alone]
    assert all(said.text in ("yes", "no") for said in answer(qwen_backbone, requests(choices=("yes", "no"))))


def test_a_qwen_learns_what_it_is_taught(
    qwen: Path, qwen_backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.trainer import lora

    monkeypatch.setattr(lora, "Backbone", lambda *_, **__: qwen_backbone)
    learner = lora.PeftLearner(Model(path=str(qwen), device="cpu"), threads=1)
    answers = ("yes", "find apple", "done")
    trained = learner.train(
        "actor",
        [Example(frame=f"{n:064x}", prompt=prompt, answer=answers[n]) for n, prompt in enumerate(PROMPTS)],
        images=lambda frame: picture(int(frame, 16)),
        parent=None,
        lora=Lora(rank=8, alpha=16, learning_rate=1e-2, epochs=30, batch=3),
        seed=0,
        out=tmp_path / "out",
        progress=lambda done, total: None,
    )
    assert trained.losses[-1] < 0.3 * trained.losses[0]
    assert trained.probe == answers


def test_both_ways_have_the_same_loss(tiny_model: Path) -> None:
    import torch

    from services.models.hf import IGNORED, Row

    model = backbone(tiny_model)
    rows = [
        Row(prompt, picture(n), str(n), tuple(model.chat.answer_ids("find apple" if n else "yes")))
        for n, prompt in enumerate(PROMPTS)
    ]
    losses = []
    for apart in (True, False):
        model.apart = apart
        batch = model.batch(rows, pad="right")
        learned = batch.labels[:, 1:] != IGNORED
        where = torch.cat([learned, torch.zeros_like(learned[:, :1])], dim=1)
        with torch.no_grad():
            logits = model.logits(batch.inputs, where)
        losses.append(torch.nn.functional.cross_entropy(logits.float(), batch.labels[:, 1:][learned]).item())
        assert int(learned.sum()) == sum(len(row.answer) for row in rows)
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_kept_features_stay_within_their_bound_and_are_computed_again(tiny_model: Path) -> None:
    from services.models.hf_answers import answer

    model = backbone(tiny_model, cache_bytes=3 * 16 * 64 * 2)
    first = answer(model, requests())
    for n in range(10):
        answer(model, [Request(prompt="Is it?", image=picture(n), image_id=f"other-{n}", max_tokens=1)])
        assert model.encoder.cache.size <= model.encoder.cache.limit
    assert [said.text for said in answer(model, requests())] == [said.text for said in first]


def test_pictures_that_the_processor_resizes_are_encoded_through_it(tiny_model: Path) -> None:
    model = backbone(tiny_model)
    features = model.encoder.features({"small": picture(1, size=80), "usual": picture(1)})
    assert features["small"].values.shape == features["usual"].values.shape == (16, 64)
    assert model.encoder._layouts[(80, 80)] is None
    assert model.encoder._layouts[(128, 128)] is not None


def test_a_folder_that_transformers_cannot_read_is_an_error_that_names_it(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    build_model(broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "model_type": "unheard-of"}))
    with pytest.raises(EngineError, match="broken"):
        backbone(broken)
