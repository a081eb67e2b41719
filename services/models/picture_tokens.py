"""Computes how many prompt tokens a picture takes by the rules of its model's family, without loading the processor."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from services.models.model_json import object_or_empty

PROMPT_TOKENS = 64
"""The least tokens beside the picture: an instruction with a few past actions, the chat template and an answer."""

LISTED_TOKENS = 64
"""The least tokens of a list of a world's admissible actions."""


def picture_tokens(folder: Path, config: Mapping[str, Any], width: int, height: int) -> int | None:
    """Returns the tokens of one picture of `width` x `height` pixels, with all of its placeholders.

    None if this module does not know the family or the settings of its processor.
    """
    said = object_or_empty(folder / "processor_config.json")
    own = said.get("image_processor")
    settings = {**(cast("dict[str, Any]", own) if isinstance(own, dict) else {}), **said}
    settings |= object_or_empty(folder / "preprocessor_config.json")
    rules = {
        "qwen2_vl": _qwen, "qwen2_5_vl": _qwen, "llava_next": _llava_next, "idefics3": _idefics, "smolvlm": _idefics,
    }  # fmt: skip
    rule = rules.get(str(config.get("model_type")))
    if rule is None or not settings:
        return None
    try:
        return rule(settings, config, width, height)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError):
        return None


def _qwen(settings: Mapping[str, Any], config: Mapping[str, Any], width: int, height: int) -> int:
    """One token for each square of merged patches, after the picture is scaled to an allowed number of pixels."""
    unit = int(settings.get("patch_size", 14)) * int(settings.get("merge_size", 2))
    size = settings.get("size") or {}
    least = int(settings.get("min_pixels") or size.get("shortest_edge") or 56 * 56)
    most = int(settings.get("max_pixels") or size.get("longest_edge") or 28 * 28 * 1280)
    rows, columns = round(height / unit), round(width / unit)
    if rows * columns * unit**2 > most:
        shrink = math.sqrt(height * width / most)
        rows, columns = (max(1, math.floor(side / shrink / unit)) for side in (height, width))
    elif rows * columns * unit**2 < least:
        grow = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * grow / unit) for side in (height, width))
    return rows * columns + 2  # a begin and an end token


def _llava_next(settings: Mapping[str, Any], config: Mapping[str, Any], width: int, height: int) -> int:
    """Tokens of the whole picture, and of its tiles in the best-fitting grid without padding."""
    vision = cast("dict[str, Any]", config["vision_config"])
    side, patch = int(vision["image_size"]), int(vision["patch_size"])
    across = side // patch
    pinpoints = cast("Sequence[Sequence[int]]", settings.get("image_grid_pinpoints") or config["image_grid_pinpoints"])

    def fit(form: Sequence[int]) -> tuple[float, float]:
        scale = min(form[1] / width, form[0] / height)
        used = min(int(width * scale) * int(height * scale), width * height)
        return used, -(form[0] * form[1] - used)

    rows, columns = (int(pixels) // side * across for pixels in max(pinpoints, key=fit))
    if width / height > columns / rows:
        rows -= 2 * ((rows - int(round(height * (columns / width), 7))) // 2)
    else:
        columns -= 2 * ((columns - int(round(width * (rows / height), 7))) // 2)
    return across**2 + rows * columns + rows  # one newline token for each row


def _idefics(settings: Mapping[str, Any], config: Mapping[str, Any], width: int, height: int) -> int:
    """The same number of tokens for each tile and for the whole picture, each with marker tokens around it."""
    vision = cast("dict[str, Any]", config["vision_config"])
    each = settings.get("image_seq_len")
    if each is None:
        each = (int(vision["image_size"]) // int(vision["patch_size"])) ** 2 // int(config["scale_factor"]) ** 2
    if not settings.get("do_image_splitting", True):
        return int(each) + 3
    longest = int(settings["size"]["longest_edge"])
    tile = int(settings["max_image_size"]["longest_edge"])
    scale = longest / max(width, height) if settings.get("do_resize", True) else 1.0
    rows, columns = (math.ceil(max(1, int(pixels * scale)) / tile) for pixels in (height, width))
    if rows == columns == 1:
        return int(each) + 3
    return rows * columns * (int(each) + 2) + rows + int(each) + 4
