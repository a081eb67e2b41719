"""Where the base model lies and what it is called: a folder in Hugging Face layout, named by its content."""

import hashlib
from pathlib import Path

from runtime.paths import given_path
from runtime.text import TextError, read_json
from services.models.engine import EngineError
from services.settings import Model

MICRO = Path(__file__).parent / "micro"
"""The micro model of this package, taken where no path is set."""

PACKAGED = (MICRO.name, "micro-seed1")
"""The models of this package, by name. The second was pretrained like the first, from another seed and its data."""

WHOLE_BYTES = 1 << 30
"""Weights up to this size are hashed whole; of larger ones the sizes, both ends and a few places between are."""

SAMPLE_BYTES = 1 << 20
SAMPLES = 64


def model_folder(settings: Model) -> Path:
    """The base model's folder. Raises EngineError, saying what is missing and what to do, where there is none."""
    folder = given_path(settings.path) if settings.path else MICRO
    if settings.path in PACKAGED and not (folder / "config.json").is_file():
        folder = MICRO.parent / settings.path
    hint = (
        "set model.path to a folder in Hugging Face layout (config.json, *.safetensors, tokenizer), "
        f"or to one that is in this package ({', '.join(PACKAGED)})"
    )
    if not folder.is_dir():
        raise EngineError(f"no model folder at {folder}; {hint}")
    if not (folder / "config.json").is_file():
        raise EngineError(f"{folder} is no model folder: it has no config.json; {hint}")
    if not any(folder.glob("*.safetensors")):
        raise EngineError(f"{folder} has no weights: no *.safetensors in it; {hint}")
    try:
        read_json(folder / "config.json", mark=False)
    except OSError as error:
        raise EngineError(f"cannot read {folder / 'config.json'}: {error.strerror or error}") from error
    except TextError as error:
        raise EngineError(f"{error}; or copy the model again") from error
    return folder


def base_model_name(folder: Path) -> str:
    """The folder's name and a digest of its configuration and weights, e.g. "micro@3f2a91c07b1e"."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as weights:
            if size <= WHOLE_BYTES:
                while block := weights.read(SAMPLE_BYTES):
                    digest.update(block)
                continue
            for index in range(SAMPLES):
                weights.seek((size - SAMPLE_BYTES) * index // (SAMPLES - 1))
                digest.update(weights.read(SAMPLE_BYTES))
    return f"{folder.resolve().name}@{digest.hexdigest()[:12]}"
