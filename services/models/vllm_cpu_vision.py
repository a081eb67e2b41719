"""Installs the faster CPU kernels of `cpu_kernels` in vLLM's vision towers."""

import inspect
import logging
from collections.abc import Callable

import torch

from services.models.cpu_kernels import NearGelu, dense_attention, is_short

log = logging.getLogger(__name__)

_EXPECTED = ["q", "k", "v", "scale", "enable_gqa"]


def install() -> None:
    """Replaces the attention and the tanh GELU of vLLM's models, if they have the expected signatures."""
    _install_attention()
    from vllm.model_executor.layers import activation

    if hasattr(activation, "_get_gelu_pytorch_tanh"):
        setattr(activation, "_get_gelu_pytorch_tanh", NearGelu)  # noqa: B010


def _install_attention() -> None:
    try:
        from vllm.v1.attention.ops import vit_attn_wrappers
    except ImportError:
        return
    original = getattr(vit_attn_wrappers, "apply_sdpa", None)
    if original is None or hasattr(original, "selu_original"):
        return
    if list(inspect.signature(original).parameters) != _EXPECTED:
        log.warning("vLLM's vision attention is not the one known here: left as it is, which is slower")
        return
    setattr(vit_attn_wrappers, "apply_sdpa", dense_or(original))  # noqa: B010


def dense_or(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns a function that calls `dense_attention` if `is_short` allows it, else `original`."""

    def apply_sdpa(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None = None, enable_gqa: bool = False
    ) -> torch.Tensor:
        return dense_attention(q, k, v, scale) if is_short(q, k, v) else original(q, k, v, scale, enable_gqa)

    apply_sdpa.__dict__["selu_original"] = original
    return apply_sdpa
