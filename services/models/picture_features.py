"""Computes a frozen vision tower's features once for each picture, and caches them up to a size in bytes."""

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from services.models import pixel_table
from services.models.chat import ChatFormat
from services.models.engine import EngineError
from services.models.pictures import decode

TOGETHER = 16
"""Pictures encoded in one batch. Larger batches are not faster on a CPU and need more memory."""

_PROBE_TEXT = "Which?"


class Features(msgspec.Struct, frozen=True, gc=False):
    """One picture's features. ``values``: picture tokens x hidden.

    In a prompt, the tokens ``short`` at index ``at`` are replaced by ``long``.
    """

    values: torch.Tensor
    at: int
    short: tuple[int, ...]
    long: tuple[int, ...]


class FeatureCache:
    """An LRU cache of features that holds at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._kept: OrderedDict[str, Features] = OrderedDict()

    def get(self, picture_id: str) -> Features | None:
        if picture_id in self._kept:
            self._kept.move_to_end(picture_id)
        return self._kept.get(picture_id)

    def put(self, picture_id: str, features: Features) -> None:
        if picture_id not in self._kept:
            self.size += features.values.nbytes
        self._kept[picture_id] = features
        while self.size > self.limit and self._kept:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.values.nbytes


class _Layout(msgspec.Struct, frozen=True, gc=False):
    """The processor's output for pictures of one size.

    ``pixels`` names the tensor that depends on the picture; ``shape`` is its shape and ``table`` maps bytes to its
    values. ``others`` are the tensors that do not depend on the picture. ``at``, ``short`` and ``long``: see
    `Features`.
    """

    pixels: str
    shape: tuple[int, ...]
    table: NDArray[np.float32]
    others: dict[str, torch.Tensor]
    at: int
    short: tuple[int, ...]
    long: tuple[int, ...]


class PictureEncoder:
    """Computes features of encoded pictures with the model's own vision tower."""

    def __init__(self, model: Any, processor: Any, chat: ChatFormat, cache: FeatureCache) -> None:
        self._model = model
        self._processor = processor
        self._chat = chat
        self.cache = cache
        self._layouts: dict[tuple[int, int], _Layout | None] = {}

    def features(self, pictures: Mapping[str, bytes]) -> dict[str, Features]:
        """Returns the features of encoded pictures (PNG) by id. All are in memory at once, whatever the cache's
        limit."""
        found: dict[str, Features] = {}
        missing: dict[tuple[int, int], list[tuple[str, Any]]] = {}
        for picture_id, data in pictures.items():
            if kept := self.cache.get(picture_id):
                found[picture_id] = kept
            else:
                picture = decode(data)
                missing.setdefault(picture.size, []).append((picture_id, picture))
        for size, group in missing.items():
            if size not in self._layouts:
                self._layouts[size] = self._layout(size)
            for start in range(0, len(group), TOGETHER):
                some = group[start : start + TOGETHER]
                encoded = self._encode([picture for _, picture in some], self._layouts[size])
                for (picture_id, _), features in zip(some, encoded, strict=True):
                    found[picture_id] = features
                    self.cache.put(picture_id, features)
        return found

    def _encode(self, pictures: Sequence[Any], layout: _Layout | None) -> list[Features]:
        if layout is None:
            return [self._encode_alone(picture) for picture in pictures]
        values = np.stack([pixel_table.apply(layout.table, np.asarray(picture)) for picture in pictures])
        pixels = torch.from_numpy(values).view(len(pictures), *layout.shape[1:])
        inputs = {layout.pixels: pixels}
        for name, other in layout.others.items():
            inputs[name] = other.expand(len(pictures), *other.shape[1:])
        rows = self._tower(inputs, len(pictures))
        return [Features(row, layout.at, layout.short, layout.long) for row in rows]

    def _encode_alone(self, picture: Any) -> Features:
        inputs, (at, short, long) = self._process(picture)
        return Features(self._tower(inputs, 1)[0], at, short, long)

    @torch.no_grad()
    def _tower(self, inputs: Mapping[str, torch.Tensor], count: int) -> list[torch.Tensor]:
        """Returns one tensor (tokens x hidden) for each picture."""
        device, dtype = self._model.device, self._model.dtype
        placed = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }
        out = self._model.get_image_features(**placed)
        out = getattr(out, "pooler_output", out)
        if isinstance(out, torch.Tensor):
            out = out.reshape(count, -1, out.shape[-1])
        rows = [row.reshape(-1, row.shape[-1]).detach() for row in out]
        if len(rows) != count:
            raise EngineError(f"the vision tower gave {len(rows)} results for {count} pictures")
        return [row.clone() for row in rows]

    def _process(self, picture: Any) -> tuple[dict[str, torch.Tensor], tuple[int, tuple[int, ...], tuple[int, ...]]]:
        """Returns the vision tower's inputs for one picture and the replacement of its placeholder (see `Features`)."""
        out = self._processor(
            text=[self._chat.prompt(_PROBE_TEXT)],
            images=[[picture]],
            add_special_tokens=self._chat.adds_special,
            return_tensors="pt",
        )
        known = inspect.signature(self._model.get_image_features).parameters
        inputs = {name: value for name, value in out.items() if name in known}
        at, short, long = pixel_table.expansion(self._chat.prompt_ids(_PROBE_TEXT), out["input_ids"][0].tolist())
        return inputs, (at, tuple(short), tuple(long))

    def _layout(self, size: tuple[int, int]) -> _Layout | None:
        """Learns the layout of pictures of one size; None if the processor must run for each picture."""
        from PIL import Image

        probes = pixel_table.probes(size)
        results = [self._process(Image.fromarray(probe)) for probe in probes]
        inputs, places = results[0]
        varying = [name for name in inputs if not torch.equal(inputs[name], results[1][0][name])]
        if len(varying) != 1 or any(place != places for _, place in results):
            return None
        if any(value.shape[0] != 1 for value in inputs.values()):
            return None
        pixels = varying[0]
        table = pixel_table.learn(probes, [result[pixels].float().numpy() for result, _ in results])
        if table is None:
            return None
        others = {name: value for name, value in inputs.items() if name != pixels}
        return _Layout(pixels, tuple(inputs[pixels].shape), table, others, *places)
