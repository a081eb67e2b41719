"""Skips the Hugging Face processor for pictures of a known size, if the result is provably the same.

For small models that processor costs as much as the model. If it neither resizes nor rearranges, a picture's tensor is
a table lookup of its bytes, and everything else (other tensors, placeholder tokens) is the same for every picture of
that size. The table is learned from noise pictures processed by the real processor, and is used only if it reproduces
further ones bit for bit. If it does not, or if vLLM's internals differ, pictures take vLLM's own path.
"""

import dataclasses
import logging
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.models import pixel_table

log = logging.getLogger(__name__)

SIZES = 16
"""The most picture sizes with a table; pictures of further sizes take vLLM's own path."""

_IMAGE = "image"


class _Template(msgspec.Struct, frozen=True, gc=False):
    """vLLM's engine inputs for pictures of one size.

    ``pixels`` is the key of the tensor that holds the picture, channels first; ``table`` maps channel and byte to its
    value. The prompt's placeholder tokens ``short`` at index ``at`` are replaced by ``long``.
    """

    rendered: dict[str, Any]
    pixels: str
    table: NDArray[np.float32]
    at: int
    short: list[int]
    long: list[int]


class Pictures:
    """Renders prompts with a picture to vLLM's engine inputs."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._templates: dict[tuple[int, int], _Template | None] = {}

    def render(self, prompt_ids: list[int], picture: Any, picture_id: str) -> dict[str, Any]:
        """Returns the input of ``AsyncLLM.generate``. ``prompt_ids`` have one unexpanded placeholder."""
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
                return None  # its two sides must receive the same pictures in the same order
            return self._probe(size, prompt_ids)
        except Exception as error:  # vLLM's internals differ: only speed is lost
            log.info("pictures of %s take the Hugging Face processor: %s", size, error)
            return None

    def _probe(self, size: tuple[int, int], prompt_ids: list[int]) -> _Template | None:
        from PIL import Image

        pictures = pixel_table.probes(size)
        prompts = [prompt_ids, prompt_ids[:-1], prompt_ids]
        names = [f"selu-probe-{size}-{index}" for index in range(len(pictures))]
        rendered = [
            self._render_slowly(ids, Image.fromarray(picture), name)
            for ids, picture, name in zip(prompts, pictures, names, strict=True)
        ]
        items = [one["mm_kwargs"][_IMAGE][0] for one in rendered]
        varying = [key for key in items[0] if not _same(items[0][key].data, items[1][key].data)]
        if len(varying) != 1:
            return None
        table = pixel_table.learn(pictures, [item[varying[0]].data.float().numpy() for item in items])
        if table is None:
            return None
        at, short, long = pixel_table.expansion(prompt_ids, rendered[0]["prompt_token_ids"])
        template = _Template(rendered=dict(rendered[0]), pixels=varying[0], table=table, at=at, short=short, long=long)
        filled = [
            _fill(template, ids, picture, name) for ids, picture, name in zip(prompts, pictures, names, strict=True)
        ]
        return template if all(map(_equal, filled, rendered)) else None

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
    data = torch.from_numpy(pixel_table.apply(template.table, picture)).to(old.data.dtype).view(old.data.shape)
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
