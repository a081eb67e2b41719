"""Checks by full name and shape that an adapter's layers are layers of the base model that engines adapt.

vLLM matches only the last part of a tensor's name, and silently ignores tensors that match no layer.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from services.models.engine import AdapterRefused
from services.models.model_kinds import is_packed

Shape = tuple[int, ...]

IN_MEMORY = ("model.language_model", "model.text_model")
"""Names that transformers gives to the language model of a vision-language model, whatever its checkpoint uses."""

_LAYER = re.compile(r"(?P<prefix>.*?)\.?layers\.(?P<rest>\d+\..+)")
_SEEING = re.compile(r"(^|[._])(vis\w*|image\w*|patch\w*|vit|tower|vision_tower|clip|siglip)([._]|$)|vision|visual")
_CONNECTOR = re.compile(r"connector|projector|multi_modal|merger|resampler|perceiver|aligner|(^|\.)mlp1(\.|$)")
_ENDS = re.compile(r"(^|\.)(lm_head|embed_tokens|embed_out|wte|embeddings?|output_projection)$")


class BaseLayers:
    """The linear layers of a base model's language model, indexed by the part of their names after ``layers.``."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.prefixes: set[str] = set()
        self._layers: dict[str, Shape] = {}
        self._others: dict[str, Shape] = {}
        self.packed = next((name for name, shape in shapes.items() if is_packed(name) or shape[1:] == (1,)), "")
        for name, shape in shapes.items():
            module = name.removesuffix(".weight")
            if not name.endswith(".weight") or len(shape) != 2 or wrong_part(module):
                continue
            if found := _LAYER.fullmatch(module):
                self.prefixes.add(found["prefix"])
                self._layers[found["rest"]] = shape
            else:
                self._others[module] = shape

    def shape(self, module: str) -> Shape | None:
        """Returns the shape of a layer's weight, by its name in PEFT or in the checkpoint; None if there is none."""
        found = _LAYER.fullmatch(module)
        if found is None:
            return self._others.get(module)
        return self._layers.get(found["rest"]) if found["prefix"] in self.allowed else None

    @property
    def allowed(self) -> set[str]:
        """Prefixes accepted before ``layers.``: those of the checkpoint, and those that transformers uses in memory."""
        return self.prefixes if self.prefixes & set(IN_MEMORY) else self.prefixes | set(IN_MEMORY)


def wrong_part(module: str) -> str:
    """Returns the part of the model that holds a layer, if engines do not adapt that part; else an empty string."""
    if _SEEING.search(module):
        return "the vision tower"
    if _CONNECTOR.search(module):
        return "the connector between vision and language"
    return "the embeddings or the output head" if _ENDS.search(module) else ""


def check_layer(file: Path, module: str, into: int, out: int, base: BaseLayers | None) -> None:
    """Raises AdapterRefused unless engines adapt this layer and the base model has it in this shape."""
    if part := wrong_part(module):
        raise AdapterRefused(
            f"{file}: {module} is in {part}, which engines do not adapt; train on the language layers alone"
        )
    if base is None:
        return
    shape = base.shape(module)
    if shape == (out, into):
        return
    if base.packed:
        raise AdapterRefused(
            f"{file}: {module} does not fit: the base model is quantised ({base.packed}); serve the unquantised model "
            "that it was made from"
        )
    if shape is not None:
        raise AdapterRefused(
            f"{file}: {module} changes a layer of shape {(out, into)}, the base model's has {shape}; it was trained on "
            "another base model"
        )
    found = _LAYER.fullmatch(module)
    if found and base.prefixes and found["prefix"] not in base.allowed:
        known = ", ".join(f"{prefix}.layers" if prefix else "layers" for prefix in sorted(base.prefixes))
        raise AdapterRefused(
            f"{file}: the base model has no layer {module}: its layers are called {known}; vLLM would ignore this one "
            "silently, so train the adapter on this base model"
        )
    raise AdapterRefused(f"{file}: the base model has no layer {module}; it was trained on another base model")
