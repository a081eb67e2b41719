"""Identifies the kind of model in a folder by its file names and config.json, and reports unusable kinds."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from services.models.installed_classes import answers_about_pictures
from services.models.model_json import object_or_empty
from services.models.needs import FAMILIES, Lack
from services.models.tensor_files import Tensor

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Keys of config.json under which multi-part models describe their language model."""

LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
"""Keys of config.json for the longest sequence, in tokens."""

UNSCALED = ("default", "mrope", "su", "longrope", "llama3", "dynamic", "proportional")
"""Kinds of rotary position scaling for which config.json already holds the full length."""

_VISION = re.compile("visi|visual|image|img|pixel|(^|_)(vit|mm)_")
_QUANTISED_NAME = re.compile(
    r"[-_.](awq|gptq|gguf|exl\d|bnb|nf4|fp8|nvfp4|int[48]|[2348][-_]?bits?|w\d+a\d+|quanti[sz]ed)\b.*", re.IGNORECASE
)
_PACKED = re.compile(
    r"\.(qweight|qzeros|weight_packed|weight_scale(_inv)?|weight\.(absmax|quant_state\S*|quant_map)|g_idx|SCB)$"
)
PACKED_TYPES = ("U8", "I8", "I32", "F8_E4M3", "F8_E5M2", "F4")
ADVICE = "model.path to a folder in Hugging Face layout (config.json, *.safetensors, tokenizer)"


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns config.json with the language model's part merged over the top level."""
    found = dict(config)
    for part in TEXT_PARTS:
        if isinstance(inner := config.get(part), dict):
            found |= cast("dict[str, Any]", inner)
    return found


def longest(config: Mapping[str, Any]) -> int | None:
    """Returns the most tokens that a model takes (picture, prompt and answer); None if config.json lacks it."""
    text = text_config(config)
    lengths = [text[name] for name in LENGTHS if isinstance(text.get(name), int) and text[name] > 0]
    if not lengths:
        return None
    found = text.get("rope_parameters") or text.get("rope_scaling")
    scaling = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    kind = str(scaling.get("rope_type") or scaling.get("type") or "default")
    factor = scaling.get("factor")
    if kind in UNSCALED or not isinstance(factor, int | float) or not 1 <= factor < 1e6:
        return lengths[0]
    original = scaling.get("original_max_position_embeddings")
    if "yarn" in kind:  # config.json may hold the extended length or the original one
        return max(lengths[0], int(original * factor)) if isinstance(original, int) else lengths[0]
    return int(lengths[0] * factor)


def not_a_model(folder: Path) -> Iterator[Lack]:
    """Reports why a folder without config.json or without safetensors is not a usable model; at most one reason."""
    names = {file.name for file in folder.iterdir()}
    weights = any(name.endswith(".safetensors") and not name.startswith("adapter_model") for name in names)
    if "adapter_config.json" in names and not weights:
        base = str(object_or_empty(folder / "adapter_config.json").get("base_model_name_or_path") or "its base model")
        yield Lack(f"{folder} is a LoRA adapter, not a model", f"give the folder of {base}, which it was trained on")
    elif "model_index.json" in names:
        yield Lack(f"{folder} is a diffusers pipeline, which makes pictures", f"set {ADVICE} that answers in text")
    elif "config.json" not in names and "params.json" in names:
        yield Lack(
            f"{folder} is in a format of its publisher's own (params.json), not that of transformers",
            f"set {ADVICE}: the same model for transformers, where there is one",
        )
    elif "config.json" not in names:
        yield Lack(f"{folder} is no model folder: it has no config.json", f"set {ADVICE}{_elsewhere(folder, names)}")
    elif not weights:
        yield from _other_weights(folder, names)


def _elsewhere(folder: Path, names: set[str]) -> str:
    """Returns a hint where the model may be, for a folder that does not hold it; empty if there is no clue."""
    if any(name.endswith(".gguf") for name in names):
        return "; GGUF files are for llama.cpp: take the model that they were made from"
    inner = "snapshots" if "snapshots" in names else ""
    below = sorted(file.parent for file in (folder / inner).glob("*/config.json"))
    return f"; {below[-1]} is one" if below else "; this folder is empty" if not names else ""


def _other_weights(folder: Path, names: set[str]) -> Iterator[Lack]:
    forms = (
        (r".*\.gguf", "GGUF, for llama.cpp", "take the model that it was made from"),
        (r".*\.(bin|pt|pth|ckpt|pkl)", "pickles, which can carry code", "save it as safetensors with save_pretrained"),
        (r".*\.onnx(_data)?|onnx", "ONNX", "take the model that it was exported from"),
        (r"openvino_model\..*", "OpenVINO", "take the model that it was exported from"),
        (r".*\.(h5|msgpack)", "TensorFlow or Flax", "take the model's files for PyTorch"),
    )
    for pattern, form, remedy in forms:
        if found := sorted(name for name in names if re.fullmatch(pattern, name) and name != "training_args.bin"):
            said = f"{folder} has no weights that can be read: {found[0]} is {form}, and there are no *.safetensors"
            yield Lack(said, f"{remedy}, and set model.path to that folder")
            return
    yield Lack(f"{folder} has no weights: no *.safetensors in it", "copy the model again, whole; or set " + ADVICE)


def unusable(folder: Path, config: Mapping[str, Any]) -> Iterator[Lack]:
    """Reports why a model with this config.json cannot be used, whatever its weights; at most one reason."""
    kind = config.get("model_type")
    if "_class_name" in config or "_diffusers_version" in config:
        yield Lack(f"{folder} is a part of a diffusers pipeline", f"set {ADVICE} that answers in text")
    elif not isinstance(kind, str) or not kind:
        yield Lack(
            f"{folder / 'config.json'} has no model_type, so the kind of model is unknown",
            "copy the model again, from those who publish it for transformers",
        )
    elif brings := _code(folder, config):
        yield Lack(
            f"{folder} brings its own code ({brings} has auto_map), which is never run",
            "take the version of the model that transformers can load by itself, often called -hf; where this one is, "
            "remove auto_map",
        )
    elif quantised := config.get("quantization_config") or text_config(config).get("quantization_config"):
        method: Any = cast("dict[str, Any]", quantised).get("quant_method") if isinstance(quantised, dict) else None
        yield _quantised(folder, f"its config.json says {method or 'quantization_config'}")
    elif kind not in FAMILIES and not any(map(_VISION.search, config)) and not answers_about_pictures(kind):
        architectures: Any = config.get("architectures")
        named = architectures[0] if isinstance(architectures, list) and architectures else kind
        yield Lack(
            f"{folder} is a model of text alone ({named}): its config.json has no part for pictures",
            "take a vision-language model, e.g. Qwen2.5-VL-7B-Instruct or SmolVLM-Instruct",
        )


def packed(folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Lack]:
    """Reports a model whose weights are quantised although its config.json does not mention it."""
    for name, tensor in tensors.items():
        if is_packed(name) or (name.endswith(".weight") and len(tensor.shape) > 1 and tensor.dtype in PACKED_TYPES):
            yield _quantised(folder, f"{name} is packed ({tensor.dtype})")
            return


def is_packed(name: str) -> bool:
    """Whether a tensor of this name is part of a quantised layer."""
    return _PACKED.search(name) is not None


def _code(folder: Path, config: Mapping[str, Any]) -> str:
    """Returns the first file with an auto_map, which names Python code in the folder; empty if there is none."""
    if config.get("auto_map"):
        return "config.json"
    others = ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
    return next((name for name in others if object_or_empty(folder / name).get("auto_map")), "")


def _quantised(folder: Path, why: str) -> Lack:
    plain = _QUANTISED_NAME.sub("", folder.name)
    instead = plain if plain and plain != folder.name else "the model that it was made from"
    return Lack(
        f"{folder} is quantised ({why}): LoRA adapters are trained on, and served with, unquantised weights",
        f"take {instead}, in bfloat16 or float16; a smaller model where memory is short, e.g. SmolVLM-Instruct",
    )
