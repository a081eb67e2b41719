"""The interface of learners, which turn rows into an adapter. See `load_learner`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from protocols.messages import Digest, Role
from services.settings import Lora


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised example: the frame and prompt as input, the answer as target."""

    frame: Digest
    prompt: str
    answer: str


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A PEFT adapter folder and the metrics of its training.

    ``losses`` are the mean losses of consecutive tenths of the training; the gate refuses any that is not finite.
    ``probe`` are the new adapter's greedy answers to up to 64 of its own prompts, spread evenly over the rows; the gate
    detects a collapse from them.
    """

    folder: Path
    losses: tuple[float, ...]
    probe: tuple[str, ...]
    metrics: dict[str, float]


class Learner(Protocol):
    """Trains LoRA adapters of one base model. Blocking; called from one worker thread, one training at a time."""

    base_model: str
    """Name of the base model with its digest, e.g. "micro@3f2a...". Written into every `Adapter`."""

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
        """Trains on all rows, starting from the adapter in `parent` (None: a new one), and writes the adapter to `out`.

        `images` returns a frame's encoded image; `progress` is called with the steps done and their total. `out`
        receives adapter_config.json and adapter_model.safetensors. The same arguments give the same result on the same
        machine.
        """
        ...
