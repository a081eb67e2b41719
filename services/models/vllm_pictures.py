"""Skips the Hugging Face processor for pictures of a size it has seen, where that provably changes nothing.

For small models that processor costs as much as the model. Where it neither resizes nor rearranges, a picture's tensor
is a table look-up of its bytes, and all else (other tensors, placeholder tokens) is the same for every picture of that
size. The table is learned from noise pictures put through the real processor, and used only if it then reproduces
others of them to the bit; if not, or on a vLLM whose insides differ, pictures take vLLM's own way.
"""

import dataclasses
import logging
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SIZES = 16
"""Picture sizes learned about; pictures of further sizes take the slow way."""

_PROBES = 3
_IMAGE = "image"


class _Template(msgspec.Struct, frozen=True, gc=False):
    """What vLLM makes of every picture of one size.

    ``pixels`` is the key of the tensor that holds the picture, channels first; ``table`` maps channel and byte to its
    value. The prompt's placeholder tokens ``short``, ``at`` this index, become ``long``.
    """

    rendered: dict[str, Any]
    pixels: str
    table: NDArray[np.float32]
    at: int
    short: list[int]
    long: list[int]


class Pictures:
    """Renders prompts with a picture into vLLM's own engine inputs."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._templates: dict[tuple[int, int], _Template | None] = {}

    def render(self, prompt_ids: list[int], picture: Any, picture_id: str) -> dict[str, Any]:
        """What to give to ``AsyncLLM.generate``. ``prompt_ids`` have one unexpanded placeholder; ``picture`` is RGB."""
        slow = {
            "prompt_token_ids": prompt_ids,
            "multi_modal_data": {_IMAGE: picture},
            "multi_modal_uuids": {_IMAGE: [picture_id]},
        }
        if picture.size not in self._templates:
            known = len(self._templates) < SIZES
            self._templates[picture.size] = self._learn(picture.size, prompt_ids) if known else None
        template = self._templates[picture.size]
        if template is None:
            return slow
        end = template.at + len(template.short)
        if prompt_ids[template.at : end] != template.short:
            return slow
        return _fill(template, prompt_ids, np.asarray(picture), picture_id)

    def _learn(self, size: tuple[int, int], prompt_ids: list[int]) -> _Template | None:
        try:
            if getattr(self._engine.renderer, "mm_processor_cache", None) is not None:
                return None  # its two sides must see the same pictures in the same order
            return self._probe(size, prompt_ids)
        except Exception as error:  # vLLM's insides differ: nothing is lost but speed
            log.info("pictures of %s take the Hugging Face processor: %s", size, error)
            return None

    def _probe(self, size: tuple[int, int], prompt_ids: list[int]) -> _Template | None:
        from PIL import Image

        random = np.random.default_rng(0)
        probes = [random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(_PROBES)]
        prompts = [prompt_ids, prompt_ids[:-1], prompt_ids]
        rendered = [
            self._render_slowly(ids, Image.fromarray(probe), f"selu-probe-{size}-{index}")
            for index, (ids, probe) in enumerate(zip(prompts, probes, strict=True))
        ]
        items = [dict(one["mm_kwargs"][_IMAGE][0]) for one in rendered]
        varying = [key for key in items[0] if not _same(items[0][key].data, items[1][key].data)]
        if len(varying) != 1:
            return None
        pixels = items[0][varying[0]].data
        channels_first = probes[0].transpose(2, 0, 1)
        if tuple(pixels.shape[-3:]) != channels_first.shape or pixels.numel() != channels_first.size:
            return None
        table = np.zeros((3, 256), dtype=np.float32)
        for channel in range(3):
            table[channel][channels_first[channel].ravel()] = (
                pixels.float().reshape(channels_first.shape)[channel].ravel()
            )
        at = next(
            i
            for i, (short, long) in enumerate(zip(prompt_ids, rendered[0]["prompt_token_ids"], strict=False))
            if short != long
        )
        after = next(
            i
            for i, (short, long) in enumerate(
                zip(reversed(prompt_ids), reversed(rendered[0]["prompt_token_ids"]), strict=False)
            )
            if short != long
        )
        whole = rendered[0]["prompt_token_ids"]
        template = _Template(
            rendered=dict(rendered[0]),
            pixels=varying[0],
            table=table,
            at=at,
            short=prompt_ids[at : len(prompt_ids) - after],
            long=whole[at : len(whole) - after],
        )
        for ids, probe, real, index in zip(prompts, probes, rendered, range(_PROBES), strict=True):
            filled = _fill(template, ids, probe, f"selu-probe-{size}-{index}")
            if not _equal(filled, real):
                return None
        return template

    def _render_slowly(self, ids: list[int], picture: Any, name: str) -> dict[str, Any]:
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        prompt = {
            "prompt_token_ids": ids,
            "multi_modal_data": {_IMAGE: picture},
            "multi_modal_uuids": {_IMAGE: [name]},
        }
        (rendered,) = self._engine.renderer.render_cmpl([parse_model_prompt(self._engine.model_config, prompt)])
        return rendered


def _fill(template: _Template, prompt_ids: list[int], picture: NDArray[np.uint8], name: str) -> dict[str, Any]:
    import torch

    rendered = template.rendered
    kwargs = rendered["mm_kwargs"]
    item = kwargs[_IMAGE][0]
    old = item[template.pixels]
    values = np.stack([template.table[channel][picture[..., channel]] for channel in range(3)])
    data = torch.from_numpy(values).to(old.data.dtype).view(old.data.shape)
    filled = type(item)({**item, template.pixels: dataclasses.replace(old, data=data)})
    end = template.at + len(template.short)
    return {
        "type": rendered["type"],
        "prompt_token_ids": [*prompt_ids[: template.at], *template.long, *prompt_ids[end:]],
        "mm_kwargs": type(kwargs)({_IMAGE: [filled]}),
        "mm_hashes": {_IMAGE: [name]},
        "mm_placeholders": rendered["mm_placeholders"],
    }


def _same(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def _equal(filled: dict[str, Any], real: dict[str, Any]) -> bool:
    keys = ("type", "prompt_token_ids", "mm_hashes", "mm_placeholders")
    if any(filled[key] != real[key] for key in keys) or set(filled["mm_kwargs"]) != set(real["mm_kwargs"]):
        return False
    mine, theirs = filled["mm_kwargs"][_IMAGE][0], real["mm_kwargs"][_IMAGE][0]
    return set(mine) == set(theirs) and all(_same(mine[key].data, theirs[key].data) for key in mine)
