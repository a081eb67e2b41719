"""Faster attention and tanh GELU on CPU for small pictures and short prompts.

Torch's fused attention kernel is slow there, and its backward pass more so. Batched products and a softmax, in pieces
that fit in the cache, take half the time. Scores are rounded to the input's type, as in transformers' eager attention.
"""

import torch

MAX_PATCHES = 512
"""Longer sequences use the fused kernel, because their scores do not fit in the cache."""

CACHE_ELEMENTS = 1 << 21
"""The number of scores computed at once (heads * patches^2 for one picture)."""


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; emulated bfloat16 is many times slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


class NearGelu(torch.nn.Module):
    """GELU in its tanh form; for bfloat16 in its exact form, which is five times faster. The two differ by at most
    5e-4, less than the rounding error of a bfloat16 input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x, approximate="none" if x.dtype == torch.bfloat16 else "tanh")


def is_short(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether `dense_attention` is faster than the fused kernel; shapes as there."""
    return q.shape == k.shape == v.shape and q.shape[1] <= MAX_PATCHES and q.dtype == torch.bfloat16


def dense_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Unmasked attention. All shapes are batch x patches x heads x head size."""
    batch, patches, heads, size = q.shape
    piece = max(1, CACHE_ELEMENTS // (heads * patches * patches))
    factor = size**-0.5 if scale is None else scale
    out = torch.empty(q.shape, dtype=q.dtype)
    for start in range(0, batch, piece):
        query, key, value = (x[start : start + piece].transpose(1, 2).reshape(-1, patches, size) for x in (q, k, v))
        weights = torch.softmax(torch.bmm(query * factor, key.transpose(1, 2)), dim=-1)
        out[start : start + piece] = torch.bmm(weights, value).view(-1, heads, patches, size).transpose(1, 2)
    return out


def learning_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float | None, *, causal: bool
) -> torch.Tensor:
    """Attention with gradients; q: batch x heads x tokens x head size, k and v: batch x key heads x ... (grouped).

    ``mask`` (batch x 1 x tokens x tokens) is boolean (True: attend) or is added to the scores. Without a mask,
    ``causal`` restricts attention to earlier tokens. Returns batch x tokens x heads x head size.
    """
    batch, heads, tokens, size = q.shape
    groups = heads // k.shape[1]
    factor = size**-0.5 if scale is None else scale
    grouped = (q * factor).reshape(batch, k.shape[1], groups * tokens, size)
    scores = (grouped @ k.transpose(2, 3)).view(batch, heads, tokens, tokens).float()
    if mask is None and causal:
        mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1).to(q.dtype)
    out = weights.view(batch, k.shape[1], groups * tokens, tokens) @ v
    return out.view(batch, heads, tokens, size).transpose(1, 2)
