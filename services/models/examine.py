"""Checks a base model's folder before a run starts, for faults that would otherwise stop the run minutes later.

Reads config.json, the files beside it and the headers of the weights; imports neither torch nor transformers. All
callers that start a model use it: `selu up`, its dry run, `probe`, `experiment`, `doctor`, the engines and the trainer.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runtime.paths import expanded, given_path
from services.models.chat_template import template_flaws
from services.models.checkpoint_names import adapter_beside, foreign_names, tokens_without_rows
from services.models.engine import ModelUnusable
from services.models.installed_classes import answers_about_pictures, takes_adapters
from services.models.model_json import Unreadable, object_or_empty, read_object
from services.models.model_kinds import ADVICE, longest, not_a_model, packed, text_config, unusable
from services.models.needs import Lack, lacking
from services.models.picture_tokens import PROMPT_TOKENS, picture_tokens
from services.models.tensor_files import Tensor, read_weights
from services.settings import Model

MICRO = Path(__file__).parent / "micro"
"""The micro model of this package, used if no path is set."""

PACKAGED = (MICRO.name, "micro-seed1")
"""The models of this package. The second was pretrained like the first, with another seed and that seed's data."""

AGAIN = "copy the model again"

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tekken.json", "vocab.txt")
"""A model folder must have at least one of these tokenizer files."""

PROCESSORS = ("preprocessor_config.json", "processor_config.json")

READ_AS_JSON = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    "chat_template.json", *PROCESSORS,
)  # fmt: skip


def model_path(settings: Model) -> Path:
    """Returns the path of the base model according to the settings; it need not exist."""
    if not settings.path:
        return MICRO
    return MICRO.parent / settings.path if _is_packaged(settings.path) else expanded(settings.path)


def absolute_model_path(path: str) -> str:
    """Returns a ``model.path`` that does not depend on the working directory.

    A folder's path becomes absolute. The name of a packaged model or of one on the Hub, and an empty path, are returned
    unchanged.
    """
    return path if not path or _is_packaged(path) or hub_name(path) else str(given_path(path))


def _is_packaged(path: str) -> bool:
    """Whether the path names a model of this package. A model folder of the same name takes precedence."""
    return path in PACKAGED and not (expanded(path) / "config.json").is_file()


def examine(
    settings: Model, engine: str, *, frame: tuple[int, int] | None = None, prompt: int = PROMPT_TOKENS
) -> list[Lack]:
    """Returns all reasons why a base model cannot be served and trained; empty if there are none.

    Args:
        settings: name the model's folder and the length of its prompts.
        engine: "vllm", "transformers", or "openai" for a model that a server serves and this machine only trains.
        frame: width and height of the pictures in its prompts, in pixels.
        prompt: the least number of tokens that a common prompt and its answer take, without the picture.
    """
    if found := place_flaws(settings):
        return found
    folder = model_path(settings)
    config = object_or_empty(folder / "config.json")
    if found := [*unusable(folder, config)]:
        return found
    weights = read_weights(folder)
    return [
        *(Lack(flaw, AGAIN) for flaw in weights.flaws[:3]),
        *packed(folder, weights.tensors),
        *foreign_names(folder, weights.tensors),
        *adapter_beside(folder),
        *([] if weights.flaws else tokens_without_rows(folder, config, weights.tensors)),
        *([] if weights.flaws else _layers(folder, config, weights.tensors)),
        *_files(folder),
        *template_flaws(folder, config),
        *lacking(folder, "vllm" if engine == "vllm" else "transformers"),  # the trainer always uses transformers
        *_classes(folder, config, engine),
        *_lengths(settings, folder, config, engine, frame, prompt),
    ]


def place_flaws(settings: Model) -> list[Lack]:
    """Returns why the settings' path holds no model: no folder, no readable config.json, or no weights in safetensors.
    At most one reason; empty if there is a model."""
    folder = model_path(settings)
    try:
        if found := [*_place(settings, folder)] or [*not_a_model(folder)]:
            return found[:1]
        read_object(folder / "config.json")
    except Unreadable as error:
        return [Lack(f"{folder / 'config.json'} {error}", AGAIN)]
    except OSError as error:
        return [Lack(f"{folder} cannot be read ({error.strerror})", "give yourself the right to, or copy the model")]
    return []


def check_model(settings: Model, engine: str) -> Path:
    """Returns the base model's folder if `examine` finds no fault.

    Raises:
        ModelUnusable: the text lists all faults.
    """
    if found := examine(settings, engine):
        raise ModelUnusable("; ".join(map(str, found)))
    return model_path(settings)


def _place(settings: Model, folder: Path) -> Iterator[Lack]:
    if folder.is_dir():
        return
    if folder.is_symlink() and not folder.exists():
        yield Lack(f"{folder} is a link to {folder.readlink()}, which does not exist", AGAIN)
    elif folder.exists() and folder.suffix == ".gguf":
        yield Lack(
            f"{folder} is GGUF, for llama.cpp", "set model.path to the folder of the model that it was made from"
        )
    elif folder.exists():
        yield Lack(f"{folder} is a file", f"set model.path to the folder that it is in, {folder.parent}")
    elif hub := hub_name(settings.path):
        yield Lack(
            f"no model folder at {folder}, and nothing is downloaded",
            f"fetch it with `hf download {hub} --local-dir DIR`, and set model.path to that folder (--model DIR)",
        )
    else:
        named = ", ".join(PACKAGED)
        yield Lack(f"no model folder at {folder}", f"set {ADVICE}, or to one that is in this package ({named})")


def hub_name(path: str) -> str:
    """Returns the Hugging Face Hub name if the path is one instead of a folder, else an empty string."""
    found = re.fullmatch(r"(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)/+([\w.-]+/[\w.-]+).*|hf:/*(.+)", path)
    if found:
        return found[1] or found[2]
    looks_so = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", path) is not None
    return path if looks_so and not Path(path).parent.exists() and not path.startswith("models/") else ""


def _layers(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Lack]:
    """Reports a checkpoint that lacks whole layers, even if its index lists them."""
    count = text_config(config).get("num_hidden_layers")
    there = {int(found[1]) for name in tensors if (found := _LAYER.search(name))}
    if isinstance(count, int) and there and (missing := sorted(set(range(count)) - there)):
        yield Lack(f"{folder} has no weights for layer {missing[0]} of {count}", AGAIN)


_LAYER = re.compile(r"^(?!.*(?:vision|visual|tower))(?:.*\.)?layers\.(\d+)\.")


def _files(folder: Path) -> Iterator[Lack]:
    """Reports tokenizer and processor files that are missing or cannot be read."""
    for name in READ_AS_JSON:
        if (folder / name).exists() or (folder / name).is_symlink():
            try:
                read_object(folder / name)
            except Unreadable as error:
                yield Lack(f"{folder / name} {error}", AGAIN)
    if not any((folder / name).exists() for name in TOKENIZERS):
        yield Lack(f"{folder} has no tokenizer (tokenizer.json or tokenizer.model)", f"{AGAIN}, all of its files")
    processor = object_or_empty(folder / "processor_config.json")
    if not (folder / "preprocessor_config.json").exists() and "image_processor" not in processor:
        yield Lack(f"{folder} has no picture processor (preprocessor_config.json)", f"{AGAIN}, all of its files")


def _classes(folder: Path, config: Mapping[str, Any], engine: str) -> Iterator[Lack]:
    """Reports a model for which the installed libraries have no class, or only a class without LoRA support."""
    kind, listed = str(config.get("model_type")), config.get("architectures")
    if answers_about_pictures(kind) is False:
        yield Lack(
            f"transformers {version('transformers')} has no class that answers about pictures for the model in "
            f"{folder} (model_type {kind})",
            "take a model of another family, e.g. Qwen2.5-VL-7B-Instruct, or install a transformers that has one",
        )
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    if engine == "vllm" and takes_adapters(architecture) is False:
        yield Lack(
            f"the installed vLLM takes no LoRA adapters for the model in {folder} ({architecture})",
            "set model.engine=transformers, or take a model of another family, e.g. Qwen2.5-VL-7B-Instruct",
        )


def _lengths(
    settings: Model, folder: Path, config: Mapping[str, Any], engine: str, frame: tuple[int, int] | None, prompt: int
) -> Iterator[Lack]:
    """Reports a prompt limit above the model's own, and frames that leave no room for the prompt."""
    if engine == "openai":  # the server sets the limit
        return
    length, most = settings.max_model_len, longest(config)
    if most and length > most:
        yield Lack(
            f"model.max_model_len is {length} and the model in {folder} takes {most} tokens at most",
            f"set model.max_model_len={most}",
        )
    if frame is None or (picture := picture_tokens(folder, config, *frame)) is None:
        return
    if picture + prompt > length:
        size = f"{frame[0]}x{frame[1]}"
        yield Lack(
            f"a frame of {size} is {picture} tokens to the model in {folder}, and with a prompt of {prompt} that is "
            f"more than model.max_model_len = {length}",
            f"set model.max_model_len={_rounded(picture + 4 * prompt)} or more, or smaller frames",
        )


def _rounded(tokens: int) -> int:
    return -(-tokens // 256) * 256
