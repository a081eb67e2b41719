"""A vLLM plugin that fixes Idefics3 pictures without tiles in vLLM 0.25: such a picture is one patch.

vLLM 0.25 takes the number of patches from transformers, which is 0 for a picture that is not split. It then slices the
pixels away, and the vision tower fails on an empty tensor. Later releases and this plugin count at least one. vLLM
loads the plugin in each of its processes through the entry point group ``vllm.general_plugins``.
"""

from typing import Any

RIGHT = "0.32"
"""A release without the fault. From it on, the model's module is not imported, because that is slow."""


def register() -> None:
    """Patches vLLM's Idefics3 (and SmolVLM, which inherits from it). Idempotent; later releases are left unchanged."""
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
