"""Finds the base model's folder (in Hugging Face layout) and names it by its content."""

import hashlib
from pathlib import Path

from services.models.engine import EngineError, ModelUnusable
from services.models.examine import MICRO, PACKAGED, model_path, place_flaws
from services.settings import Model

__all__ = ["MICRO", "PACKAGED", "base_model_name", "model_folder"]

WHOLE_BYTES = 1 << 30
"""Weight files up to this size are hashed completely; of larger ones, the size and `SAMPLES` evenly spaced blocks."""

SAMPLE_BYTES = 1 << 20
SAMPLES = 64


def model_folder(settings: Model) -> Path:
    """Returns the base model's folder; checks only that it holds a model. `examine.check_model` checks its files.

    Raises:
        ModelUnusable: there is no model; the text names the remedy.
    """
    if found := place_flaws(settings):
        raise ModelUnusable(str(found[0]))
    return model_path(settings)


def base_model_name(folder: Path) -> str:
    """Returns the folder's name and a digest of its configuration and weights, e.g. "micro@3f2a91c07b1e".

    Raises:
        EngineError: a file cannot be read.
    """
    try:
        return _named(folder)
    except OSError as error:
        raise EngineError(
            f"{error.filename or folder} cannot be read ({error.strerror}); copy the model again"
        ) from error


def _named(folder: Path) -> str:
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
