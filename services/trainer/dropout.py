"""Dropout before an adapter's layers, cheap enough for a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 256
"""A byte decides about an element, so that probabilities are multiples of 1/256."""


class ByteDropout(nn.Module):
    """What ``nn.Dropout`` does, with one random byte an element: a tenth of its time on a CPU, where drawing is dear.

    Draws from torch's global generator of the input's device. A GPU, which has one kernel for all of it, uses that.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.below = round(share * LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.below:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.below / LEVELS)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), 2**63 - 1).view(torch.uint8)[: x.numel()].view(x.shape)
        return x * (drawn >= self.below).to(x.dtype).mul_(LEVELS / (LEVELS - self.below))


def drop_out(model: Any, share: float) -> None:
    """Lets every LoRA layer of a PEFT model forget this share of its input while it is trained."""
    for module in model.modules():
        if isinstance(dropouts := getattr(module, "lora_dropout", None), nn.ModuleDict):
            for name in dropouts:
                dropouts[name] = ByteDropout(share) if share else nn.Identity()
