"""Trains LoRA adapters on the language layers of a vision-language model, with the settings of `settings.Lora`.

The vision tower is frozen. Each frame's features are therefore computed once and cached across rounds, up to a size
limit. The loss covers only the tokens of the answer and of the end of the turn, formatted as the engines generate them.
"""

import json
import math
import random
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting

from protocols.messages import Digest, Role
from services.models.engine import Request
from services.models.folder import base_model_name, model_folder
from services.models.hf import IGNORED, Backbone, Row
from services.models.hf_answers import answer
from services.settings import Lora, Model
from services.trainer.dropout import drop_out
from services.trainer.learner import Row as Example
from services.trainer.learner import Trained

FEATURE_BYTES = 2 << 30
"""Size limit of the feature cache in bytes: about 250,000 frames of the micro model, a few hundred of a 7B model."""

PROBES = 64
PROBE_TOKENS = 12

BUCKET = 16
"""Number of batches whose rows are sorted by length together, to fill each batch with rows of similar length."""

WARMUP_STEPS = 10
WEIGHT_DECAY = 0.01
CLIP = 1.0
CHECKPOINT_PARAMETERS = 2_000_000_000
"""On a GPU, models with more parameters than this use gradient checkpointing."""


class PeftLearner:
    """Implements `learner.Learner` for one base model, which it loads once."""

    def __init__(self, settings: Model, *, threads: int = 0, feature_bytes: int = FEATURE_BYTES) -> None:
        if threads:
            torch.set_num_threads(threads)
        folder = model_folder(settings)
        self.base_model = base_model_name(folder)
        self._backbone = Backbone(folder, settings, cache_bytes=feature_bytes)
        self._lengths: dict[str, int] = {}

    def train(
        self,
        role: Role,
        rows: Sequence[Example],
        *,
        images: Callable[[Digest], bytes],
        parent: Path | None,
        lora: Lora,
        seed: int,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> Trained:
        if not rows:
            raise ValueError(f"no rows to train the {role} on")
        started = time.monotonic()
        with self._seeded(seed):
            model = self._adapted(parent, lora)
        drop_out(model, lora.dropout)
        try:
            self._remember(rows, images)
            featured = time.monotonic()
            with self._seeded(seed), disable_input_dtype_casting(model):
                losses = self._fit(model, rows, images, lora, seed, progress)
            fitted = time.monotonic()
            probe = self._probe(model, rows, images)
            self._save(model, out)
        finally:
            model.unload()
        tenths = [float(np.mean(part)) for part in np.array_split(losses, 10) if len(part)]
        return Trained(
            folder=out,
            losses=tuple(tenths),
            probe=probe,
            metrics={
                "rows": float(len(rows)),
                "steps": float(len(losses)),
                "loss_first": tenths[0],
                "loss_last": tenths[-1],
                "seconds_features": featured - started,
                "seconds_fit": fitted - featured,
                "seconds_probe": time.monotonic() - fitted,
            },
        )

    def _adapted(self, parent: Path | None, lora: Lora) -> Any:
        """The base model with a trainable adapter: the parent's, or a new one whose initial output is zero."""
        base = self._backbone.model
        if parent is None:
            config = LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=0.0,
                target_modules=_pattern(self._backbone.language_linears()),
                task_type="CAUSAL_LM",
            )
            return get_peft_model(base, config)
        rank = json.loads((parent / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        if rank != lora.rank:
            raise ValueError(
                f"the adapter to train further ({parent}) has rank {rank}, the settings say {lora.rank}; "
                "set the rank back, or trainer.continue_from to base"
            )
        return PeftModel.from_pretrained(base, str(parent), is_trainable=True)

    def _remember(self, rows: Sequence[Example], images: Callable[[Digest], bytes]) -> None:
        """Caches the features of all frames not cached yet, in batches of 64: faster than in training batches."""
        encoder = self._backbone.encoder
        if not self._backbone.apart:
            return
        missing = [frame for frame in dict.fromkeys(row.frame for row in rows) if encoder.cache.get(frame) is None]
        for start in range(0, len(missing), 64):
            if encoder.cache.size >= encoder.cache.limit:
                return
            encoder.features({frame: images(frame) for frame in missing[start : start + 64]})

    def _fit(
        self,
        model: Any,
        rows: Sequence[Example],
        images: Callable[[Digest], bytes],
        lora: Lora,
        seed: int,
        progress: Callable[[int, int], None],
    ) -> list[float]:
        """Trains and returns each step's loss. Stops at the first one that is not finite; the gate then refuses it."""
        device = self._backbone.device
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=lora.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
        plan = self._plan(rows, lora, seed)
        checkpointing = device.type == "cuda" and _parameters(model) > CHECKPOINT_PARAMETERS
        if checkpointing:
            self._backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
        self._backbone.model.train()
        losses: list[float] = []
        try:
            for step, indices in enumerate(plan):
                for group in optimizer.param_groups:
                    warm = min(1.0, (step + 1) / min(WARMUP_STEPS, len(plan)))
                    group["lr"] = lora.learning_rate * warm * (1 - step / len(plan))
                batch = self._backbone.batch([self._row(rows[index], images) for index in indices], pad="right")
                with self._autocast():
                    learned = batch.labels[:, 1:] != IGNORED
                    last = torch.zeros_like(learned[:, :1])
                    logits = self._backbone.logits(batch.inputs, torch.cat([learned, last], dim=1))
                loss = torch.nn.functional.cross_entropy(logits.float(), batch.labels[:, 1:][learned])
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    break
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, CLIP)
                optimizer.step()
                progress(step + 1, len(plan))
        finally:
            self._backbone.model.eval()
            if checkpointing:
                self._backbone.model.gradient_checkpointing_disable()
        return losses

    @contextmanager
    def _seeded(self, seed: int) -> Generator[None]:
        """Seeds the random generators of the device within the block, and restores their state afterwards."""
        device = self._backbone.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _autocast(self) -> Any:
        """Autocasts a bfloat16 model. The adapter's weights are float32, because bfloat16 would lose small updates."""
        return torch.autocast(
            self._backbone.device.type, torch.bfloat16, enabled=self._backbone.dtype == torch.bfloat16
        )

    def _plan(self, rows: Sequence[Example], lora: Lora, seed: int) -> list[list[int]]:
        """The row indices of each batch: every row once an epoch, in batches of similar length, in random order."""
        rng = random.Random(seed)
        plan: list[list[int]] = []
        for _ in range(math.ceil(lora.epochs)):
            order = list(range(len(rows)))
            rng.shuffle(order)
            for start in range(0, len(order), lora.batch * BUCKET):
                chunk = sorted(order[start : start + lora.batch * BUCKET], key=lambda index: self._length(rows[index]))
                batches = [chunk[i : i + lora.batch] for i in range(0, len(chunk), lora.batch)]
                rng.shuffle(batches)
                plan += batches
        return plan[: max(1, round(lora.epochs * math.ceil(len(rows) / lora.batch)))]

    def _length(self, row: Example) -> int:
        text = row.prompt + row.answer
        if text not in self._lengths:
            if len(self._lengths) > 100_000:
                self._lengths.clear()
            self._lengths[text] = len(self._backbone.chat.prompt_ids(text))
        return self._lengths[text]

    def _row(self, row: Example, images: Callable[[Digest], bytes]) -> Row:
        kept = self._backbone.apart and self._backbone.encoder.cache.get(row.frame) is not None
        image = b"" if kept else images(row.frame)
        return Row(row.prompt, image, row.frame, tuple(self._backbone.chat.answer_ids(row.answer)))

    def _probe(self, model: Any, rows: Sequence[Example], images: Callable[[Digest], bytes]) -> tuple[str, ...]:
        count = min(PROBES, len(rows))
        some = [rows[index * len(rows) // count] for index in range(count)]
        model.eval()
        with torch.autocast(self._backbone.device.type, torch.bfloat16, enabled=self._backbone.dtype == torch.bfloat16):
            try:
                said = answer(
                    self._backbone,
                    [
                        Request(prompt=row.prompt, image=images(row.frame), image_id=row.frame, max_tokens=PROBE_TOKENS)
                        for row in some
                    ],
                )
            except Exception as error:  # the gate refuses a broken adapter on the basis of this answer
                return (f"no answer: {error}",)
        return tuple(one.text for one in said)

    def _save(self, model: Any, out: Path) -> None:
        """Writes only the adapter's two files. The same training writes the same bytes."""
        shutil.rmtree(out, ignore_errors=True)
        model.peft_config["default"].base_model_name_or_path = self.base_model
        model.save_pretrained(str(out), save_embedding_layers=False)
        for file in out.iterdir():
            if file.name not in ("adapter_config.json", "adapter_model.safetensors"):
                file.unlink()


def _pattern(names: Sequence[str]) -> str:
    """A regular expression for these layers. PEFT would turn a list into a set and save it in an arbitrary order."""
    parts = sorted({".".join("\\d+" if part.isdigit() else part for part in name.split(".")) for name in names})
    return "(" + "|".join(part.replace(".", "\\.") for part in parts) + ")"


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
