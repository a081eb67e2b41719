"""Model folders, chat formats, adapter files and picture tables: what is read before any model runs."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from services.models import folder as folders
from services.models import load, pixel_table
from services.models.adapter_check import check_adapter, tensor_shapes
from services.models.engine import AdapterRefused, EngineError, Request, UnknownVersion
from services.models.versions import Versions
from services.settings import Model
from tests.models.tiny import build_adapter

SHAPES = {
    "model.text_model.layers.0.self_attn.q_proj.weight": (8, 6),
    "model.vision_model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.text_model.layers.0.mlp.up_proj.weight": (12, 6),
}
"""Tensor shapes of an imagined base model."""


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return build_adapter(tmp_path / "adapter", SHAPES, seed=0, rank=4)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the tensors of an adapter."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_a_sound_adapter_is_accepted_and_described(adapter: Path) -> None:
    files = check_adapter(adapter, max_rank=8, base=SHAPES)
    assert (files.rank, files.modules) == (4, 2)
    assert files.size > 0
    assert files.digest == check_adapter(adapter, max_rank=8, base=None).digest


def test_other_prefixes_of_a_checkpoint_are_the_same_layers(adapter: Path) -> None:
    renamed = {name.replace("model.text_model", "language_model.model"): shape for name, shape in SHAPES.items()}
    assert check_adapter(adapter, max_rank=8, base=renamed).modules == 2


@pytest.mark.parametrize("cut", [0, 4, 8, 200, -1])
def test_weights_that_are_cut_off_are_refused(adapter: Path, cut: int) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


def test_appended_bytes_are_refused(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(AdapterRefused, match="its header says"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_values_that_are_not_finite_are_refused(adapter: Path, value: float, dtype: Any) -> None:
    def poison(tensors: dict[str, Any]) -> None:
        name = next(iter(tensors))
        tensors[name] = tensors[name].astype(dtype)
        tensors[name][0, 0] = value

    rewrite(adapter, poison)
    with pytest.raises(AdapterRefused, match="not finite"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


def test_bfloat16_values_are_judged_too(adapter: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    file = adapter / "adapter_model.safetensors"
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(file).items()}
    save_file(tensors, file)
    assert 0 < check_adapter(adapter, max_rank=8, base=SHAPES).size < 1
    tensors[next(iter(tensors))][0, 0] = torch.nan
    save_file(tensors, file)
    with pytest.raises(AdapterRefused, match="not finite"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"r": 16}, "rank 16"),
        ({"r": "4"}, "rank '4'"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ],
)
def test_configurations_that_engines_cannot_serve_are_refused(adapter: Path, fields: dict[str, Any], said: str) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    with pytest.raises(AdapterRefused, match=said):
        check_adapter(adapter, max_rank=8, base=SHAPES)


def test_factors_that_do_not_fit_the_base_model_are_refused(adapter: Path) -> None:
    other = {name: (size + 2, width) for name, (size, width) in SHAPES.items()}
    with pytest.raises(AdapterRefused, match="another base model"):
        check_adapter(adapter, max_rank=8, base=other)
    with pytest.raises(AdapterRefused, match="no layer"):
        check_adapter(adapter, max_rank=8, base={"model.text_model.layers.7.mlp.up_proj.weight": (12, 6)})


def test_a_factor_without_its_partner_and_foreign_tensors_are_refused(adapter: Path) -> None:
    rewrite(adapter, lambda tensors: tensors.pop(next(name for name in tensors if "lora_B" in name)))
    with pytest.raises(AdapterRefused, match="only one"):
        check_adapter(adapter, max_rank=8, base=SHAPES)
    rewrite(adapter, lambda tensors: tensors.update({"lm_head.weight": np.zeros((2, 2), np.float32)}))
    with pytest.raises(AdapterRefused, match="lm_head"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


def test_pickled_weights_are_not_even_looked_at(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(AdapterRefused, match="cannot read"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


@pytest.mark.parametrize(
    "odd", [{"auto_mapping": {"parent_library": "os"}}, {"megatron_config": {"x": 1}}, {"layer_replication": [[0, 9]]}]
)
def test_a_configuration_that_names_code_or_changes_layers_is_refused(adapter: Path, odd: dict[str, object]) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | odd))
    with pytest.raises(AdapterRefused, match=f"it sets {next(iter(odd))}"):
        check_adapter(adapter, max_rank=8, base=SHAPES)


def test_a_missing_model_folder_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none", "no model folder at"), (tmp_path, "no config.json")):
        with pytest.raises(EngineError, match=said) as failure:
            folders.model_folder(Model(path=str(path)))
        assert str(path) in str(failure.value)
        assert "model.path" in str(failure.value)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineError, match="no weights"):
        folders.model_folder(Model(path=str(tmp_path)))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineError, match="not JSON"):
        folders.model_folder(Model(path=str(tmp_path)))


def test_a_models_name_follows_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    names = set()
    for whole in (1 << 30, 10):
        monkeypatch.setattr(folders, "WHOLE_BYTES", whole)
        monkeypatch.setattr(folders, "SAMPLE_BYTES", 16)
        weights.write_bytes(b"a" * 1000)
        name = folders.base_model_name(tmp_path)
        assert name.startswith(tmp_path.name + "@")
        assert name == folders.base_model_name(tmp_path)
        weights.write_bytes(b"a" * 999 + b"b")
        names |= {name, folders.base_model_name(tmp_path)}
    assert len(names) == 4


async def start(settings: Model) -> None:
    with anyio.fail_after(10):
        await load.load_engine(settings, role="actor", max_versions=1)


@pytest.mark.anyio
async def test_an_engine_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_installed", lambda module: False)
    for engine in ("auto", "vllm", "transformers"):
        with pytest.raises(EngineError, match="install selu"):
            await start(Model(engine=engine))


def test_auto_prefers_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_installed", lambda module: True)
    assert load.choose_engine(Model()) == "vllm"
    monkeypatch.setattr(load, "_installed", lambda module: module == "transformers")
    assert load.choose_engine(Model()) == "transformers"


def test_a_table_is_learned_only_where_the_processor_is_one() -> None:
    pictures = pixel_table.probes((72, 64))

    def normalised(picture: Any) -> Any:
        return ((picture / np.float32(127.5)) - 1).astype(np.float32).transpose(2, 0, 1)[None]

    table = pixel_table.learn(pictures, [normalised(picture) for picture in pictures])
    assert table is not None
    assert np.array_equal(pixel_table.apply(table, pictures[2]), normalised(pictures[2])[0])
    blurred = [normalised((picture.astype(np.uint16) + np.roll(picture, 1, axis=0)) // 2) for picture in pictures]
    assert pixel_table.learn(pictures, blurred) is None
    assert pixel_table.learn(pictures, [normalised(picture)[..., :-1] for picture in pictures]) is None


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        ([1, 3, 7, 8], [1, 4, 3, 3, 4, 7, 8], (1, [3], [4, 3, 3, 4])),
        ([1, 3, 7, 8], [1, 3, 3, 3, 7, 8], (2, [], [3, 3])),
        ([1, 3, 7], [1, 3, 7], (3, [], [])),
        ([3], [3, 3], (1, [], [3])),
    ],
)
def test_an_expansion_is_found_between_what_stays(
    short: list[int], long: list[int], expected: tuple[int, list[int], list[int]]
) -> None:
    at, before, after = pixel_table.expansion(short, long)
    assert (at, before, after) == expected
    assert [*short[:at], *after, *short[at + len(before) :]] == long


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
@pytest.mark.filterwarnings("ignore")
class TestChatFormat:
    def test_answers_are_learned_in_the_form_in_which_they_are_generated(self, tiny_model: Path) -> None:
        from services.models.chat import ChatFormat

        chat = ChatFormat.load(tiny_model)
        assert chat.prompt("Is it open?") == "<|im_start|>User:<image>Is it open?<end_of_utterance>\nAssistant:"
        assert chat.choice("yes") == " yes"
        assert chat.answer_ids("find apple") == [*chat.choice_ids("find apple"), 2]
        assert chat.text(chat.answer_ids("find apple")) == "find apple"

    @pytest.mark.parametrize("text", ["  spaced ", "two\nlines", "{{ braces }}", "<image>", ""])
    def test_odd_texts_are_rendered_as_the_template_does(self, tiny_model: Path, text: str) -> None:
        from services.models.chat import ChatFormat

        chat = ChatFormat.load(tiny_model)
        assert chat.prompt(text) == chat._render(text)

    def test_a_template_with_another_turn_end_is_followed(self, tiny_model: Path) -> None:
        from services.models.chat import ChatFormat

        tokenizer = ChatFormat.load(tiny_model).tokenizer
        template = (
            "{% for m in messages %}{% if m['role'] == 'user' %}[INST] <image>\n{% for c in m['content'] %}"
            "{{ c['text'] if 'text' in c }}{% endfor %} [/INST]{% else %} {{ m['content'] }}<end_of_utterance>"
            "{% endif %}{% endfor %}"
        )
        chat = ChatFormat(tokenizer, template, [2])
        assert chat.prompt("Is it?") == "[INST] <image>\nIs it? [/INST]"
        assert chat.answer_ids("no") == [*tokenizer.encode(" no", add_special_tokens=False), 2]

    def test_an_answer_ends_where_tokenizer_or_generation_settings_say(self, tiny_model: Path, tmp_path: Path) -> None:
        from services.models.chat import ChatFormat

        for file in tiny_model.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        for said, ends in ((0, (0, 2)), ([2, 0], (2, 0)), (None, (2,))):
            (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
            assert ChatFormat.load(tmp_path).end_ids == ends

    def test_a_model_without_a_chat_template_says_what_to_add(self, tiny_model: Path, tmp_path: Path) -> None:
        from services.models.chat import ChatFormat

        for file in tiny_model.iterdir():
            if file.name != "chat_template.jinja":
                (tmp_path / file.name).write_bytes(file.read_bytes())
        with pytest.raises(EngineError, match="chat_template"):
            ChatFormat.load(tmp_path)


@pytest.mark.anyio
async def test_a_version_that_does_not_drain_in_time_stays_loaded() -> None:
    versions = Versions("actor", 1)
    versions.add(1, "content")
    request = Request(prompt="", image=b"", image_id="", version=1)
    with anyio.fail_after(5), versions.using(1):
        with pytest.raises(EngineError, match="still used by 1"):
            await versions.drain(1, seconds=0.01)
        versions.require([request])
    with anyio.fail_after(5):
        await versions.drain(1)
    with pytest.raises(UnknownVersion):
        versions.require([request])


def test_the_tiny_model_has_the_shapes_its_header_says(tiny_model: Path) -> None:
    shapes = tensor_shapes(tiny_model)
    assert shapes["model.text_model.layers.0.self_attn.q_proj.weight"] == (64, 64)


def test_the_models_of_this_package_are_known_by_name_and_their_cards_by_their_weights() -> None:
    for name in folders.PACKAGED:
        folder = folders.model_folder(Model(path=name))
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert weights in (folder / "README.md").read_text()


def test_a_folder_that_happens_to_be_called_like_a_model_of_this_package_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folders.MICRO.name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert folders.model_folder(Model(path=folders.MICRO.name)) == folders.MICRO
