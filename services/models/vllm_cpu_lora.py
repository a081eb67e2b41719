"""Makes vLLM's LoRA fast on CPU; also makes vLLM's processes die with the process that started them.

vLLM calls `register` in each of its processes (entry point group ``vllm.general_plugins``). vLLM's own CPU code copies
the adapter's matrices once per token. In a mixed batch, it applies the adapter of the last slot (index -1) to requests
without an adapter.

Here the tokens of a batch are grouped by adapter, and each group takes two dense matrix products a layer. The parts of
a fused layer (q, k, v; gate, up) share these products: their A matrices are concatenated, and their B matrices form a
block diagonal. Results equal vLLM's up to the rounding of intermediate sums.
"""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch

from services.models import process_tie, vllm_cpu_vision, vllm_idefics3

log = logging.getLogger(__name__)

_EXPECTED = {
    "add_lora_linear": ["self", "y", "x", "lora_a_stacked", "lora_b_stacked", "scale", "output_slices"],
    "update_metadata": ["self", "mapping", "lora_index_to_id", "max_loras", "vocab_size"],
}
"""The replaced methods with the parameters that this module relies on. If vLLM's differ, nothing is replaced."""

Group = tuple[int, torch.Tensor | None]
"""An adapter's slot and the rows of the batch that use it; ``None`` means all rows."""


def register() -> None:
    """Called by vLLM in every process that it starts. On devices other than the CPU, only `vllm_idefics3` is
    applied."""
    process_tie.follow_parent()
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        vllm_idefics3.register()
        return
    vllm_cpu_vision.install()
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    if hasattr(PunicaWrapperCPU, "selu_originals"):
        return
    if unlike := _unlike(PunicaWrapperCPU):
        log.warning("vLLM's CPU LoRA is not the one known here (%s): left as it is, which is slower", unlike)
        return
    install(PunicaWrapperCPU)


def install(wrapper: type[Any]) -> None:
    """Replaces `wrapper`'s linear LoRA by the grouped form. The originals are kept in ``selu_originals``."""
    original_linear: Callable[..., Any] = wrapper.add_lora_linear
    original_update: Callable[..., Any] = wrapper.update_metadata
    original_init: Callable[..., None] = wrapper.__init__

    def update_metadata(self: Any, *args: Any, **kwargs: Any) -> None:
        original_update(self, *args, **kwargs)
        self.selu_groups = groups_of(self.token_lora_indices)
        self.selu_rows = self.token_lora_indices.shape[0]

    def add_lora_linear(
        self: Any,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: Any = None,
        **kwargs: Any,
    ) -> None:
        if buffer is not None or kwargs or x.dim() != 2 or not x.shape[0] == y.shape[0] == self.selu_rows:
            original_linear(self, y, x, lora_a_stacked, lora_b_stacked, scale, output_slices, buffer=buffer, **kwargs)
            return
        cache: dict[tuple[int, int], _Packed] = self.selu_packed
        for slot, rows in self.selu_groups:
            key = (id(lora_a_stacked), slot)
            packed = cache.get(key)
            if packed is None or packed.stale(lora_a_stacked):
                packed = cache[key] = _Packed(lora_a_stacked, lora_b_stacked, slot, scale)
            if not x.dtype == y.dtype == packed.a.dtype or y.shape[1] != packed.b.shape[1]:
                original_linear(self, y, x, lora_a_stacked, lora_b_stacked, scale, output_slices)
                return
            if rows is None:
                y.addmm_(x @ packed.a, packed.b)
            else:
                y.index_add_(0, rows, (x[rows] @ packed.a) @ packed.b)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original_init(self, *args, **kwargs)
        self.selu_packed = {}
        self.selu_groups = []
        self.selu_rows = -1

    wrapper.__init__ = __init__
    wrapper.selu_originals = {
        "__init__": original_init,
        "update_metadata": original_update,
        "add_lora_linear": original_linear,
    }
    wrapper.update_metadata = update_metadata
    wrapper.add_lora_linear = add_lora_linear


def groups_of(indices: torch.Tensor) -> list[Group]:
    """Groups the batch's rows by adapter slot. Rows with index -1 use no adapter and are in no group."""
    slots = torch.unique(indices).tolist()
    if len(slots) == 1:
        return [] if slots[0] < 0 else [(slots[0], None)]
    return [(slot, (indices == slot).nonzero().squeeze(1)) for slot in slots if slot >= 0]


class _Packed:
    """One adapter's matrices of one (possibly fused) layer, as two dense factors: y += x @ a @ b.

    ``a``: in x (parts * rank); ``b``: (parts * rank) x out, block diagonal.
    """

    def __init__(
        self, a_stacked: tuple[torch.Tensor, ...], b_stacked: tuple[torch.Tensor, ...], slot: int, scale: float
    ) -> None:
        self._a_stacked = a_stacked  # its id is the cache's key; a reference keeps the id from being reused
        self._version = a_stacked[0]._version
        self.a = torch.cat([a[slot, 0] for a in a_stacked]).t()
        self.b = torch.block_diag(*(b[slot, 0] for b in b_stacked)).t()
        if scale != 1.0:
            self.b = self.b * scale

    def stale(self, a_stacked: tuple[torch.Tensor, ...]) -> bool:
        """Whether an adapter was loaded or unloaded since. vLLM then writes to all parts of a layer, and torch
        counts the writes to a tensor in ``_version``."""
        return self._a_stacked is not a_stacked or self._version != a_stacked[0]._version


def _unlike(wrapper: type[Any]) -> str:
    """Returns how the class differs from the one that this module expects; empty if it does not."""
    for name, expected in _EXPECTED.items():
        method = getattr(wrapper, name, None)
        found = list(inspect.signature(method).parameters)[: len(expected)] if method else []
        if found != expected:
            return f"{name} takes {found}"
    return "" if isinstance(getattr(wrapper, "token_lora_indices", None), property) else "no token_lora_indices"
