"""What is wrong with a base model's folder is said from its files alone, before anything starts."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.models import examine as examining
from services.models import needs
from services.models.engine import ModelUnusable
from services.models.examine import MICRO, PACKAGED, check_model, examine
from services.settings import Model
from tests.models.folders import TEMPLATE, sound_folder, write_json, write_tensors

Change = Callable[[Path], object]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4988\n"
SHARD = "model-0000{}-of-00002.safetensors"
ONE = {"a.weight": ("BF16", (2, 2))}


@pytest.fixture(autouse=True)
def _packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_installed", lambda name: True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sound_folder(tmp_path / "Some-VL-7B")


def found(folder: Path | str, engine: str = "transformers", **settings: int) -> list[str]:
    return [str(lack) for lack in examine(Model(path=str(folder), **settings), engine)]  # type: ignore[arg-type]


def config(**content: object) -> Change:
    return lambda folder: write_json(folder / "config.json", **content)


def replaced(name: str, content: str | bytes) -> Change:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def all_of(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def tensors(name: str, **held: tuple[str, tuple[int, ...]]) -> Change:
    return lambda folder: write_tensors(folder / name, {key.replace("__", "."): value for key, value in held.items()})


def link(name: str, target: str) -> Change:
    return all_of(without(name), lambda folder: (folder / name).symlink_to(folder / target))


def cut(name: str, count: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:count])


def index(**places: str) -> Change:
    weight_map = {name.replace("__", "."): file for name, file in places.items()}
    return all_of(
        without("model.safetensors"),
        replaced("model.safetensors.index.json", json.dumps({"weight_map": weight_map})),
    )


def template(text: str) -> Change:
    return replaced("chat_template.jinja", text)


TEXT_ONLY = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
TEXT_OF_PARTS = "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}"
STRICT = "{{ raise_exception('Only text is supported!') }}"

FAULTS: dict[str, tuple[Change, str]] = {
    "a Git LFS pointer for weights": (replaced("model.safetensors", POINTER), "Git LFS pointer"),
    "a web page for weights": (replaced("model.safetensors", "<!DOCTYPE html><html>"), "is a web page"),
    "weights without a byte": (replaced("model.safetensors", b""), "model.safetensors is empty"),
    "a dangling link for weights": (link("model.safetensors", "../blobs/none"), "is a link to"),
    "weights cut off in the data": (cut("model.safetensors", -1), "not copied whole"),
    "weights cut off in the header": (cut("model.safetensors", 40), "cut off"),
    "weights with more data than the header says": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b"0"),
        "not copied whole",
    ),
    "weights whose header is no JSON": (replaced("model.safetensors", b"\x04" + bytes(7) + b"{{{{"), "broken header"),
    "an index that names a missing shard": (
        all_of(
            index(a__weight=SHARD.format(1), b__weight=SHARD.format(2)),
            tensors(SHARD.format(1), a__weight=ONE["a.weight"]),
        ),
        "model-00002-of-00002.safetensors is not there",
    ),
    "an index that names a tensor no shard has": (
        all_of(
            index(a__weight=SHARD.format(1), b__weight=SHARD.format(1)),
            tensors(SHARD.format(1), a__weight=ONE["a.weight"]),
        ),
        "names 1 tensors that its files do not have, e.g. b.weight",
    ),
    "an index that is a pointer": (
        all_of(
            index(a__weight=SHARD.format(1)),
            replaced("model.safetensors.index.json", POINTER),
            tensors(SHARD.format(1), a__weight=ONE["a.weight"]),
        ),
        "index.json is a Git LFS pointer",
    ),
    "an index that names a file elsewhere": (
        all_of(index(a__weight="../other.safetensors"), tensors(SHARD.format(1), a__weight=ONE["a.weight"])),
        "no safetensors file of this",
    ),
    "one shard of two without an index": (
        all_of(without("model.safetensors"), tensors(SHARD.format(1), a__weight=ONE["a.weight"])),
        "1 of 2 weight files: number 2 is missing",
    ),
    "shards without an index": (
        all_of(without("model.safetensors"), *(tensors(SHARD.format(n), a__weight=ONE["a.weight"]) for n in (1, 2))),
        "no model.safetensors.index.json",
    ),
    "weights under a name no loader looks for": (
        all_of(without("model.safetensors"), tensors("other.safetensors", a__weight=ONE["a.weight"])),
        "only other.safetensors",
    ),
    "a layer that is missing": (config(text_config={"num_hidden_layers": 2}), "no weights for layer 1 of 2"),
    "pickled weights": (
        all_of(without("model.safetensors"), replaced("pytorch_model.bin", b"\x80")),
        "pytorch_model.bin is pickles",
    ),
    "GGUF weights": (all_of(without("model.safetensors"), replaced("model-q4.gguf", b"GGUF")), "is GGUF"),
    "ONNX weights": (all_of(without("model.safetensors"), replaced("model.onnx", b"0")), "is ONNX"),
    "no weights": (without("model.safetensors"), "no *.safetensors"),
    "no config": (without("config.json"), "it has no config.json"),
    "a config with a byte order mark": (replaced("config.json", b"\xef\xbb\xbf{}"), "byte order mark"),
    "a config in UTF-16": (replaced("config.json", "{}".encode("utf-16")), "UTF-16"),
    "a config that is not JSON": (replaced("config.json", "{'model_type': 'x'}"), "is not JSON"),
    "a config that is a list": (replaced("config.json", "[]"), "not an object: it holds a list"),
    "a config that is a pointer": (replaced("config.json", POINTER), "Git LFS pointer"),
    "a config without a model type": (config(model_type=None), "no model_type"),
    "code in the config": (config(auto_map={"AutoConfig": "a.B"}), "brings its own code (config.json"),
    "code in the processor": (
        lambda folder: write_json(folder / "preprocessor_config.json", auto_map={"AutoProcessor": "a.B"}),
        "preprocessor_config.json has auto_map",
    ),
    "AWQ": (config(quantization_config={"quant_method": "awq"}), "is quantised (its config.json says awq)"),
    "4 bits of bitsandbytes": (
        config(text_config={"quantization_config": {"quant_method": "bitsandbytes"}}),
        "says bitsandbytes",
    ),
    "packed weights that the config is silent about": (
        tensors("model.safetensors", model__layers__0__q_proj__qweight=("I32", (2, 2))),
        "qweight is packed",
    ),
    "weights in eight bits": (
        tensors("model.safetensors", model__layers__0__self_attn__q_proj__weight=("F8_E4M3", (8, 8))),
        "is quantised",
    ),
    "eight bits in a layer of any name": (
        tensors("model.safetensors", model__layers__0__mlp__w1__weight=("F8_E4M3", (8, 8))),
        "w1.weight is packed (F8_E4M3)",
    ),
    "an adapter beside the weights": (replaced("adapter_config.json", "{}"), "a LoRA adapter (adapter_config.json)"),
    "an adapter that was not merged": (
        tensors("model.safetensors", model__layers__0__q_proj__base_layer__weight=("BF16", (8, 8))),
        "base_layer.weight), which loaders pass over: save the model again after merge_and_unload()",
    ),
    "a model that was saved as PEFT's": (
        tensors("model.safetensors", base_model__model__model__layers__0__q_proj__weight=("BF16", (8, 8))),
        "an adapter of PEFT in them (base_model.model.",
    ),
    "a compiled model's wrapper": (
        tensors("model.safetensors", _orig_mod__model__layers__0__q_proj__weight=("BF16", (8, 8))),
        "begin with '_orig_mod.': a wrapper was saved",
    ),
    "a parallel model's wrapper": (
        tensors("model.safetensors", module__model__layers__0__q_proj__weight=("BF16", (8, 8))),
        "begin with 'module.': a wrapper was saved",
    ),
    "a tokenizer with more tokens than the model": (
        tensors("model.safetensors", model__embed_tokens__weight=("BF16", (7, 8))),
        "of number 7, and the model has embeddings for 7 tokens",
    ),
    "a publisher's own format": (
        all_of(without("config.json"), replaced("params.json", "{}")),
        "not that of transformers",
    ),
    "a model of text alone": (
        lambda folder: replaced(
            "config.json", json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        )(folder),
        "of text alone (LlamaForCausalLM)",
    ),
    "an adapter": (
        all_of(
            without("config.json", "model.safetensors"),
            replaced("adapter_config.json", '{"base_model_name_or_path": "Qwen/Base"}'),
            tensors("adapter_model.safetensors", a__weight=ONE["a.weight"]),
        ),
        "is a LoRA adapter, not a model: give the folder of Qwen/Base",
    ),
    "a diffusers pipeline": (all_of(without("config.json"), replaced("model_index.json", "{}")), "diffusers pipeline"),
    "no tokenizer": (without("tokenizer.json"), "has no tokenizer"),
    "a tokenizer that is a pointer": (replaced("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    "no picture processor": (without("preprocessor_config.json"), "no picture processor"),
    "a processor that is not JSON": (replaced("preprocessor_config.json", "{"), "preprocessor_config.json is not JSON"),
    "no chat template": (without("chat_template.jinja"), "has no chat template"),
    "a template that prints what it is given": (template(TEXT_ONLY), "places no picture"),
    "a template that passes pictures over": (template(TEXT_OF_PARTS), "places no picture"),
    "a template that drops the text": (template("{{ messages[0]['role'] }}"), "drops the text"),
    "a template that refuses": (template(STRICT), "takes no picture: Only text is supported!"),
    "a template that is no Jinja": (template("{% for m in %}"), "is not a Jinja template"),
    "a template with another family's token": (template(TEMPLATE.replace("<|image_pad|>", "<image>")), "<|image_pad|>"),
    "a context that is too short": (config(text_config={"max_position_embeddings": 128}), "takes 128 tokens at most"),
}


def test_nothing_is_wrong_with_a_sound_folder_and_the_models_of_this_package(folder: Path) -> None:
    assert found(folder, "vllm") == found(folder) == found(folder, "openai") == []
    assert [found(name) for name in ("", *PACKAGED)] == [[], [], []]


@pytest.mark.parametrize("name", FAULTS)
def test_a_folder_that_cannot_be_used_is_refused_with_folder_cause_and_remedy(folder: Path, name: str) -> None:
    change, said = FAULTS[name]
    change(folder)
    lacks = examine(Model(path=str(folder)), "transformers")
    assert any(said in str(lack) for lack in lacks), lacks
    assert all(str(folder) in lack.found and len(lack.do) > 10 for lack in lacks)
    with pytest.raises(ModelUnusable) as refusal:
        check_model(Model(path=str(folder)), "transformers")
    assert said in str(refusal.value)


def test_the_folder_of_shards_with_an_index_is_sound(folder: Path) -> None:
    index(a__weight=SHARD.format(1), b__weight=SHARD.format(2))(folder)
    tensors(SHARD.format(1), a__weight=ONE["a.weight"])(folder)
    tensors(SHARD.format(2), b__weight=ONE["a.weight"])(folder)
    assert found(folder) == []


@pytest.mark.parametrize("place", ["chat_template.json", "tokenizer_config.json", "processor_config.json"])
def test_a_chat_template_is_found_wherever_transformers_finds_one(folder: Path, place: str) -> None:
    (folder / "chat_template.jinja").unlink()
    for held in (TEMPLATE, [{"name": "default", "template": TEMPLATE}]):
        write_json(folder / place, chat_template=held)
        assert found(folder) == []
    write_json(folder / place, chat_template=TEXT_OF_PARTS)
    assert "places no picture" in "".join(found(folder))


def test_a_processors_template_goes_before_one_for_text_alone(folder: Path) -> None:
    (folder / "chat_template.jinja").rename(folder / "old")
    write_json(folder / "chat_template.json", chat_template=TEMPLATE)
    write_json(folder / "tokenizer_config.json", chat_template=TEXT_OF_PARTS)
    assert found(folder) == []


def test_an_unquantised_model_is_named_instead_where_the_folders_name_tells_it(tmp_path: Path) -> None:
    awq = sound_folder(tmp_path / "Qwen2.5-VL-7B-Instruct-AWQ", quantization_config={"quant_method": "awq"})
    assert "take Qwen2.5-VL-7B-Instruct, in bfloat16" in "".join(found(awq))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "nothing is downloaded: fetch it with `hf download Qwen/Qwen2.5-VL-7B-Instruct",
        ),
        ("https://huggingface.co/Qwen/Qwen2-VL/tree/main", "`hf download Qwen/Qwen2-VL --local-dir"),
        ("hf://Qwen/Qwen2-VL", "`hf download Qwen/Qwen2-VL --local-dir"),
        ("models/none", "no model folder at models/none: set model.path"),
        ("/nowhere/model", "no model folder at /nowhere/model: set model.path"),
        ("file", "file is a file: set model.path to the folder that it is in"),
        ("model.gguf", "model.gguf is GGUF"),
        ("dangling", "dangling is a link to"),
        ("empty", "empty is no model folder: it has no config.json"),
        ("cache", "snapshots/abc is one"),
    ],
)
def test_a_place_without_a_model_is_named_with_what_to_give_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    Path("model.gguf").write_text("GGUF")
    Path("empty").mkdir()
    Path("dangling").symlink_to("nowhere")
    sound_folder(Path("cache/snapshots/abc"))
    (lack,) = found(given)
    assert said in lack


def test_the_examination_loads_no_model_library() -> None:
    code = (
        "import sys; from services.models.examine import examine; from services.settings import Model; "
        "assert examine(Model(), 'transformers', frame=(128, 128)) == []; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'vllm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_folder_that_cannot_be_read_is_said_to_be_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(examining, "not_a_model", denied)
    assert f"{folder} cannot be read (Permission denied)" in "".join(found(folder))


def test_the_micro_model_is_examined_where_none_is_named() -> None:
    assert examining.model_path(Model()) == MICRO
