"""The transformers backbone: both ways of feeding a model, and that which one is taken follows from trying."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from services.models.engine import EngineError, ModelUnusable, Request
from services.settings import Model
from tests.models.tiny import build_model, picture

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


def test_an_idefics3_keeps_picture_features(tiny_model: Path) -> None:
    assert backbone(tiny_model).apart


def test_both_ways_give_the_same_answers(tiny_model: Path) -> None:
    from services.models.hf_answers import answer

    model = backbone(tiny_model)
    apart = [*answer(model, requests()), *answer(model, requests(choices=("yes", "no")))]
    model.apart = False
    whole = [*answer(model, requests()), *answer(model, requests(choices=("yes", "no")))]
    assert [said.text for said in apart] == [said.text for said in whole]
    assert [said.log_prob for said in apart] == pytest.approx([said.log_prob for said in whole], abs=0.2)


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


def test_weights_of_other_shapes_than_the_configuration_says_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    build_model(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] *= 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnusable, match=r"weights in .*other have other shapes than its config.json says"):
        backbone(folder)
