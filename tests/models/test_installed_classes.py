"""What the installed libraries can serve is read from their sources, and said of a folder before they are imported."""

import importlib.util
from pathlib import Path

import pytest

from services.models import examine as examining
from services.models import installed_classes, needs
from services.models.examine import examine
from services.models.installed_classes import answers_about_pictures, takes_adapters
from services.settings import Model
from tests.models.folders import sound_folder, write_json

REGISTRY = """
_TEXT_MODELS = {"TextOnly": ("text", "TextOnly")}
_MULTIMODAL_MODELS = {
    "Plain": ("plain", "Plain"), "Adapted": ("adapted", "Adapted"), "Heir": ("heir", "Heir"),
    "Lost": ("lost", "Lost"), "Strange": ("strange", "Strange"),
}
"""
CLASSES = {
    "plain": "class Plain(nn.Module, SupportsMultiModal): ...",
    "adapted": "class Adapted(nn.Module, SupportsMultiModal, SupportsLoRA): ...",
    "heir": "from .adapted import Adapted as Elder\nclass Heir(Elder): ...",
    "strange": "class Strange(Elsewhere): ...",
}
MAPPING = """
MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES = OrderedDict([("seeing", "SeeingForConditionalGeneration")])
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = tmp_path / "vllm" / "model_executor" / "models"
    auto = tmp_path / "transformers" / "models" / "auto"
    for folder in (models, auto):
        folder.mkdir(parents=True)
    (models / "registry.py").write_text(REGISTRY)
    for name, text in CLASSES.items():
        (models / f"{name}.py").write_text(text)
    (auto / "modeling_auto.py").write_text(MAPPING)
    monkeypatch.setattr(installed_classes, "_package", lambda name: tmp_path / name)
    return tmp_path


def test_a_class_takes_adapters_where_it_or_one_above_it_says_so(packages: Path) -> None:
    names = ("Adapted", "Heir", "Plain", "Lost", "Strange", "TextOnly", "Unheard")
    assert [takes_adapters(name) for name in names] == [True, True, False, None, None, None, None]


def test_a_model_type_answers_about_pictures_where_transformers_lists_it(packages: Path) -> None:
    assert (answers_about_pictures("seeing"), answers_about_pictures("blind")) == (True, False)


def test_nothing_is_said_where_the_sources_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (None, tmp_path / "nothing"):
        monkeypatch.setattr(installed_classes, "_package", lambda name, there=there: there)
        assert answers_about_pictures("seeing") is takes_adapters("Plain") is None


def test_a_folder_that_no_installed_class_serves_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_installed", lambda name: True)
    monkeypatch.setattr(examining, "answers_about_pictures", lambda kind: kind == "qwen2_vl")
    monkeypatch.setattr(examining, "takes_adapters", lambda architecture: architecture != "OldForVision")
    monkeypatch.setattr(examining, "version", lambda name: "5.19.0")
    folder = sound_folder(tmp_path / "model", architectures=["OldForVision"])
    settings = Model(path=str(folder))
    assert examine(settings, "transformers") == examine(settings, "openai") == []
    (lack,) = examine(settings, "vllm")
    assert "takes no LoRA adapters" in lack.found and str(folder) in lack.found
    assert "model.engine=transformers" in lack.do
    write_json(folder / "config.json", model_type="odd_vl", architectures=None)
    (lack,) = examine(settings, "transformers")
    assert "transformers 5.19.0 has no class" in lack.found and "(model_type odd_vl)" in lack.found


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_the_families_that_are_known_are_in_the_installed_transformers() -> None:
    assert all(answers_about_pictures(kind) for kind in needs.FAMILIES)
    assert not answers_about_pictures("llama")


@pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="needs vLLM")
def test_the_installed_vllm_takes_adapters_for_the_micro_model() -> None:
    assert takes_adapters("Idefics3ForConditionalGeneration")
