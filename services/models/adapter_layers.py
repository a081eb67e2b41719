"""Whether an adapter's layers are layers of the base model that engines adapt: by full name and by shape.

vLLM looks at the last part of a tensor's name alone, and leaves out without a word what it then cannot place.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from services.models.engine import AdapterRefused
from services.models.model_kinds import is_packed

Shape = tuple[int, ...]

IN_MEMORY = ("model.language_model", "model.text_model")
"""How transformers names the language model of a vision-language model, whatever its checkpoint calls it."""

_LAYER = re.compile(r"(?P<prefix>.*?)\.?layers\.(?P<rest>\d+\..+)")
_SEEING = re.compile(r"(^|[._])(vis\w*|image\w*|patch\w*|vit|tower|vision_tower|clip|siglip)([._]|$)|vision|visual")
_CONNECTOR = re.compile(r"connector|projector|multi_modal|merger|resampler|perceiver|aligner|(^|\.)mlp1(\.|$)")
_ENDS = re.compile(r"(^|\.)(lm_head|embed_tokens|embed_out|wte|embeddings?|output_projection)$")


class BaseLayers:
    """The linear layers of a base model's language model, by what follows ``layers.`` in their names."""

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
        """Of the weight of the layer that PEFT or the checkpoint calls so; None where there is none."""
        found = _LAYER.fullmatch(module)
        if found is None:
            return self._others.get(module)
        return self._layers.get(found["rest"]) if found["prefix"] in self.allowed else None

    @property
    def allowed(self) -> set[str]:
        """What may stand before ``layers.``: as in the checkpoint, or as transformers calls it in memory."""
        return self.prefixes if self.prefixes & set(IN_MEMORY) else self.prefixes | set(IN_MEMORY)


def wrong_part(module: str) -> str:
    """Which part of the model a layer belongs to, if it is none that engines adapt; empty where it is."""
    if _SEEING.search(module):
        return "the vision tower"
    if _CONNECTOR.search(module):
        return "the connector between vision and language"
    return "the embeddings or the output head" if _ENDS.search(module) else ""


def check_layer(file: Path, module: str, into: int, out: int, base: BaseLayers | None) -> None:
    """Raises AdapterRefused unless the base model has this layer, of this shape, and engines adapt it."""
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
