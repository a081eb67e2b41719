"""How long a model's prompts may be, and how much of that a frame takes, as its files tell."""

import json
from pathlib import Path

import pytest

from scripts.launch.model_check import model_problems
from scripts.launch.plan import new_plan
from services.models import needs
from services.models.examine import examine
from services.models.model_json import read_object
from services.models.model_kinds import longest
from services.models.picture_tokens import picture_tokens
from services.settings import Model
from tests.models.folders import sound_folder, write_json


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(needs, "_installed", lambda name: True)
    return sound_folder(tmp_path / "Some-VL-7B")


@pytest.mark.parametrize(
    ("content", "most"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"text_config": {"max_position_embeddings": 2048}, "max_position_embeddings": 9}, 2048),
        ({"llm_config": {"max_position_embeddings": 512}}, 512),
        ({"max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 2.0}}, 4096),
        ({"max_position_embeddings": 2048, "rope_scaling": {"type": "mrope", "mrope_section": [1]}}, 2048),
        ({"max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, 2048),
        ({"max_position_embeddings": 8192, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 8192),
        (
            {
                "max_position_embeddings": 1024,
                "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024},
            },
            4096,
        ),
        ({"max_position_embeddings": "many"}, None),
        ({}, None),
    ],
)
def test_the_longest_prompt_follows_from_the_configuration(content: dict[str, object], most: int | None) -> None:
    assert longest(content) == most


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_prompt_longer_than_the_model_takes_is_refused_for_every_engine(folder: Path, engine: str) -> None:
    write_json(folder / "config.json", text_config={"max_position_embeddings": 2048})
    assert examine(Model(path=str(folder), max_model_len=2048), engine) == []
    (lack,) = examine(Model(path=str(folder), max_model_len=2049), engine)
    assert str(lack).endswith("set model.max_model_len=2048")


def test_a_frame_that_leaves_no_room_for_a_prompt_is_refused(folder: Path) -> None:
    settings = Model(path=str(folder), max_model_len=256)
    assert examine(settings, "vllm", frame=(300, 300)) == []
    (lack,) = examine(settings, "vllm", frame=(600, 600))
    assert "a frame of 600x600 is 443 tokens" in lack.found and "set model.max_model_len=768 or more" in lack.do


@pytest.mark.parametrize(
    ("model_type", "settings", "size", "tokens"),
    [
        ("qwen2_5_vl", {"patch_size": 14, "merge_size": 2}, (300, 300), 121 + 2),
        ("qwen2_vl", {"patch_size": 14, "merge_size": 2, "max_pixels": 100352}, (1000, 500), 8 * 16 + 2),
        ("llava_next", {"image_grid_pinpoints": [[336, 672], [672, 336], [672, 672]]}, (300, 300), 1176),
        ("idefics3", {"image_seq_len": 81, "do_image_splitting": False}, (300, 300), 84),
        (
            "idefics3",
            {"image_seq_len": 81, "size": {"longest_edge": 1456}, "max_image_size": {"longest_edge": 364}},
            (300, 300),
            1417,
        ),
        ("unheard_of", {"patch_size": 14}, (300, 300), None),
    ],
)
def test_a_frames_tokens_are_those_that_the_family_says(
    tmp_path: Path, model_type: str, settings: dict[str, object], size: tuple[int, int], tokens: int | None
) -> None:
    folder = sound_folder(tmp_path / "model", model_type)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    assert picture_tokens(folder, read_object(folder / "config.json"), *size) == tokens


@pytest.mark.parametrize(
    ("profile", "settings", "refused"),
    [
        ("household", [], False),
        ("household", ["world.options.admissible=true"], False),
        ("household", ["model.max_model_len=64"], True),
        ("household", ["model.max_model_len=100"], False),
        ("household", ["model.max_model_len=100", "world.options.admissible=true"], True),
        ("virtualhome", ["world.options.mode=graph", "model.max_model_len=128"], True),
    ],
)
def test_the_worlds_own_frames_and_lists_count(profile: str, settings: list[str], refused: bool) -> None:
    made = new_plan(profile, overrides=["model.engine=transformers", *settings]).settings
    found = model_problems(made)
    assert bool(found) == refused and all("model.max_model_len" in problem for problem in found)
