"""What torch does slowly on a CPU for small pictures and short prompts, done fast: attention and tanh GELU.

Torch's fused attention kernel is slow there, its backward pass even more; batched products and a softmax, in pieces
that stay in the cache, take half the time. The scores are rounded to the input's type, as in transformers' eager
attention.
"""

import torch

MAX_PATCHES = 512
"""Longer sequences go to the fused kernel: their scores no longer fit in the cache."""

CACHE_ELEMENTS = 1 << 21
"""Scores computed at once (heads * patches^2 a picture)."""


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; emulated, it is many times slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


class NearGelu(torch.nn.Module):
    """GELU in its tanh form; for bfloat16 in its exact form, which is five times faster and differs by at most 5e-4:
    less than what the rounding of its input to 8 bits already does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x, approximate="none" if x.dtype == torch.bfloat16 else "tanh")


def is_short(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether `dense_attention` is the faster one; shapes as there."""
    return q.shape == k.shape == v.shape and q.shape[1] <= MAX_PATCHES and q.dtype == torch.bfloat16


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


def learning_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float | None, *, causal: bool
) -> torch.Tensor:
    """Attention with gradients; q: batch x heads x tokens x head size, k and v: batch x key heads x ... (grouped).

    ``mask`` is boolean (True: attend) or added to the scores, batch x 1 x tokens x tokens; without one, ``causal``
    attends to earlier tokens only. Returns batch x tokens x heads x head size.
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
