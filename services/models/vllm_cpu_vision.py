"""Makes vLLM's vision towers fast on CPU for the short sequences of small pictures.

Torch's fused attention kernel is slow there. For a few hundred patches two batched products and a softmax are twice as
fast, in pieces that stay in the cache. The scores are rounded to the input's type, as in transformers' eager attention.
Torch's bfloat16 GELU is five times slower in its tanh form than in its exact one.
"""

import inspect
import logging
from collections.abc import Callable

import torch

log = logging.getLogger(__name__)

MAX_PATCHES = 512
"""Longer sequences go to the fused kernel: their scores no longer fit in the cache."""

CACHE_ELEMENTS = 1 << 21
"""Scores computed at once (heads * patches^2 a picture)."""

_EXPECTED = ["q", "k", "v", "scale", "enable_gqa"]


class NearGelu(torch.nn.Module):
    """GELU in its tanh form; for bfloat16 in its exact form, which differs by at most 5e-4: less than what the rounding
    of its input to 8 bits already does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x, approximate="none" if x.dtype == torch.bfloat16 else "tanh")


def install() -> None:
    """Replaces the attention and the tanh GELU of vLLM's models, where they are the ones known here."""
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
    """`original` for what is long, full precision or grouped; `dense_attention` for the rest."""

    def apply_sdpa(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None = None, enable_gqa: bool = False
    ) -> torch.Tensor:
        short = q.shape == k.shape == v.shape and q.shape[1] <= MAX_PATCHES and q.dtype == torch.bfloat16
        return dense_attention(q, k, v, scale) if short else original(q, k, v, scale, enable_gqa)

    apply_sdpa.__dict__["selu_original"] = original
    return apply_sdpa


def dense_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Unmasked attention; all shapes batch x patches x heads x head size."""
    batch, patches, heads, size = q.shape
    piece = max(1, CACHE_ELEMENTS // (heads * patches * patches))
    factor = size**-0.5 if scale is None else scale
    out = torch.empty(q.shape, dtype=q.dtype)
    for start in range(0, batch, piece):
        query, key, value = (x[start : start + piece].transpose(1, 2).reshape(-1, patches, size) for x in (q, k, v))
        weights = torch.softmax(torch.bmm(query * factor, key.transpose(1, 2)), dim=-1)
        out[start : start + piece] = torch.bmm(weights, value).view(-1, heads, patches, size).transpose(1, 2)
    return out
