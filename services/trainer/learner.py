"""What turns rows into an adapter. See `load_learner`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from protocols.messages import Digest, Role
from services.settings import Lora


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised example: shown this frame and prompt, say this answer."""

    frame: Digest
    prompt: str
    answer: str


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A PEFT adapter folder and what training it was like.

    ``losses`` are the mean losses of consecutive tenths of training (finite or the gate refuses). ``probe`` are the new
    adapter's greedy answers to up to 64 of its own prompts, spread evenly over the rows: how the gate sees a collapse.
    """

    folder: Path
    losses: tuple[float, ...]
    probe: tuple[str, ...]
    metrics: dict[str, float]


class Learner(Protocol):
    """Trains LoRA adapters of one base model. Blocking; called from one worker thread, one training at a time."""

    base_model: str
    """Digest-bearing name of the base model, e.g. "micro@3f2a...". Written into every `Adapter`."""

    def train(
        self,
        role: Role,
        rows: Sequence[Row],
        *,
        images: Callable[[Digest], bytes],
        parent: Path | None,
        lora: Lora,
        seed: int,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> Trained:
        """Trains on all rows from `parent` (or from scratch) and writes adapter_config.json and
        adapter_model.safetensors into `out`. Deterministic for the same arguments on the same machine."""
        ...
