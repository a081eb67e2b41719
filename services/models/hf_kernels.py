"""Installs the faster CPU kernels of `cpu_kernels` in transformers' models."""

from typing import Any

import torch

from services.models.cpu_kernels import MAX_PATCHES, NearGelu, dense_attention, is_short, learning_attention

NAME = "selu_dense"


def speed_up(model: Any) -> None:
    """Modifies a bfloat16 model on a CPU in place. Does nothing if transformers lacks the hooks."""
    try:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward
        from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
        from transformers.modeling_utils import AttentionInterface
    except ImportError:
        return

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **others: Any,
    ) -> tuple[torch.Tensor, None]:
        is_causal = others.get("is_causal")
        causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
        if torch.is_grad_enabled():
            if query.shape[2] == key.shape[2] <= MAX_PATCHES and (attention_mask is None or causal):
                return learning_attention(query, key, value, attention_mask, scaling, causal=causal), None
        elif attention_mask is None and not causal:
            q, k, v = (x.transpose(1, 2) for x in (query, key, value))
            if is_short(q, k, v):
                return dense_attention(q, k, v, scaling), None
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    parts = [name for name in ("vision_config", "text_config") if name in getattr(model.config, "sub_configs", {})]
    model.set_attn_implementation(dict.fromkeys(parts, NAME))
    for module in model.modules():
        for name, child in module.named_children():
            if type(child).__name__ == "GELUTanh":
                setattr(module, name, NearGelu())
