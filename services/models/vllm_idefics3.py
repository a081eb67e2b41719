"""A vLLM plugin: an Idefics3 picture that is not split into tiles is one patch, also in vLLM 0.25.

There the count comes from transformers, which says none for a picture that is not split; the picture's pixels are then
sliced away and the vision tower fails on an empty tensor. Later releases count at least one, and so does this one
with the plugin. vLLM loads it in each of its processes through the entry point group ``vllm.general_plugins``.
"""

from typing import Any

RIGHT = "0.32"
"""A release that counts right; the model's module, slow to import, is left alone from there on."""


def register() -> None:
    """Mends vLLM's Idefics3 (and SmolVLM, which inherits it). Harmless twice, or where nothing is amiss."""
    import vllm
    from packaging.version import Version

    if Version(vllm.__version__) >= Version(RIGHT):
        return
    from vllm.model_executor.models import idefics3

    count_at_least_one(idefics3.Idefics3ProcessingInfo)


def count_at_least_one(info: Any) -> None:
    """Wraps the class's ``get_num_patches`` so that it never returns less than 1."""
    counted = info.get_num_patches
    if getattr(counted, "at_least_one", False):
        return

    def get_num_patches(self: Any, **sizes: Any) -> int:
        return max(counted(self, **sizes), 1)

    get_num_patches.at_least_one = True  # type: ignore[attr-defined]
    info.get_num_patches = get_num_patches
