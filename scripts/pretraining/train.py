"""Pretraining: a new micro model learns to see, name, answer and act from source-domain rows.

A step has `pictures` pictures with a few questions each. Actions of demonstrations and captions have longer rows, which
form a batch of their own.
"""

import copy
import logging
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from scripts.pretraining.data import Corpus, Row
from scripts.pretraining.model import Micro

log = logging.getLogger("pretrain")

LONG_KINDS = ("act", "caption")
HUE_TURN = 0.5
"""Half of the pictures have their hues rotated by at most this angle, in radians, either way."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """``long_share`` is the number of long rows per question. The learning rate rises over ``warmup`` steps, then falls
    as a cosine to 2% of its maximum."""

    pictures: int = 320
    questions: int = 3
    long_share: float = 0.3
    long_weight: float = 0.7
    learning_rate: float = 1.2e-3
    warmup: int = 300
    weight_decay: float = 0.05


class Trained(NamedTuple):
    """The metrics of a training stage. ``losses``: (step, mean loss since the last entry)."""

    steps: int
    seconds: float
    losses: list[tuple[int, float]]


class _Pool(NamedTuple):
    """Rows as tensors on the training device: ids and labels [n, length], and each row's picture index [n]."""

    ids: Tensor
    labels: Tensor
    image: Tensor


def _pool(micro: Micro, rows: list[Row]) -> _Pool:
    pairs = [micro.row(row.prompt, row.answer) for row in rows]
    longest = max(len(ids) for ids, _ in pairs)
    ids = np.zeros((len(rows), longest), np.int16)
    labels = np.full((len(rows), longest), -100, np.int16)
    for i, (row_ids, row_labels) in enumerate(pairs):
        ids[i, : len(row_ids)] = row_ids
        labels[i, : len(row_labels)] = row_labels
    where = torch.tensor([row.image for row in rows])
    return _Pool(*(torch.as_tensor(x).to(micro.device) for x in (ids, labels, where)))


class _Batch(NamedTuple):
    pixels: Tensor
    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]
    """(ids, labels, index into the pictures) of the questions, and of the long rows."""


class _Sampler:
    """Draws batches on the device: uniformly over pictures, then over the questions of each."""

    def __init__(self, micro: Micro, corpus: Corpus, recipe: Recipe, seed: int) -> None:
        self.recipe, self.device = recipe, micro.device
        self.images = torch.as_tensor(corpus.images).to(micro.device)
        asked = [row for row in corpus.rows if row.kind not in LONG_KINDS and not row.kind.startswith("judge")]
        self.short = _pool(micro, sorted(asked, key=lambda row: row.image))
        self.long = _pool(micro, [row for row in corpus.rows if row.kind in LONG_KINDS])
        every = torch.arange(len(corpus.images), device=micro.device)
        self.first = torch.searchsorted(self.short.image, every)
        self.count = torch.searchsorted(self.short.image, every, right=True) - self.first
        self.asked = torch.nonzero(self.count)[:, 0]
        self.random = torch.Generator(micro.device).manual_seed(seed)

    def _below(self, high: int, *size: int) -> Tensor:
        return torch.randint(high, size, device=self.device, generator=self.random)

    def batches(self) -> Iterator[_Batch]:
        pictures, questions = self.recipe.pictures, self.recipe.questions
        longs = max(1, int(pictures * questions * self.recipe.long_share))
        while True:
            chosen = self.asked[self._below(len(self.asked), pictures)]
            offset = self._uniform(pictures, questions) * self.count[chosen, None]
            short = (self.first[chosen, None] + offset.long()).flatten()
            long = self._below(len(self.long.ids), longs)
            pixels = self._relit(self.images[torch.cat([chosen, self.long.image[long]])])
            places = torch.arange(len(pixels), device=self.device)
            yield _Batch(
                pixels,
                (
                    (*_rows(self.short, short), places[:pictures].repeat_interleave(questions)),
                    (*_rows(self.long, long), places[pictures:]),
                ),
            )

    def _uniform(self, *size: int) -> Tensor:
        return torch.rand(*size, device=self.device, generator=self.random)

    def _relit(self, pixels: Tensor) -> Tensor:
        """Changes light and hue and adds noise on many pictures, so that no answer depends on exact colours."""
        n = len(pixels)
        gain = 1 + (self._uniform(n, 1, 1, 3) * 0.45 - 0.3) * (self._uniform(n, 1, 1, 1) < 0.6)
        angle = (self._uniform(n) - 0.5) * 2 * HUE_TURN * (self._uniform(n) < 0.5)
        noise = torch.randn(pixels.shape, device=self.device, generator=self.random)
        turned = torch.einsum("nhwc,ndc->nhwd", pixels.float(), hue_rotation(angle))
        return (turned * gain + 4 * noise).clamp(0, 255)


def hue_rotation(angle: Tensor) -> Tensor:
    """Matrices [n, 3, 3] that rotate colours around the grey axis by `angle` [n], in radians."""
    third = math.sqrt(1 / 3)
    cross = torch.tensor([[0, -third, third], [third, 0, -third], [-third, third, 0]], device=angle.device)
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    return cosine * torch.eye(3, device=angle.device) + (1 - cosine) / 3 + sine * cross


def _rows(pool: _Pool, chosen: Tensor) -> tuple[Tensor, Tensor]:
    return pool.ids[chosen].long(), pool.labels[chosen].long()


def pretrain(
    micro: Micro, corpus: Corpus, recipe: Recipe, *, seed: int, minutes: float, steps: int | None = None
) -> Trained:
    """Trains all weights for `minutes`, or for exactly `steps` steps if given (to repeat an earlier training).

    Forward and backward passes use a bfloat16 copy, which halves the memory traffic; steps update the float32 weights.
    """
    sampler = _Sampler(micro, corpus, recipe, seed)
    parameters = list(micro.model.parameters())
    working = Micro(copy.deepcopy(micro.model).to(torch.bfloat16), micro.tokenizer, micro.device)
    pairs = list(zip(parameters, working.model.parameters(), strict=True))
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    log.info("pools: %d questions, %d long rows", len(sampler.short.ids), len(sampler.long.ids))
    started, losses, since = time.monotonic(), [], []
    for step, batch in enumerate(sampler.batches()):
        spent = time.monotonic() - started
        done = step / steps if steps is not None else spent / (60 * minutes)
        if done >= 1:
            return Trained(step, spent, losses)
        rate = recipe.learning_rate * min(1, (step + 1) / recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate * (0.49 * (1 + math.cos(math.pi * done)) + 0.02)
        features = working.encode(batch.pixels)
        short, long = (working.loss(ids, labels, features[places]) for ids, labels, places in batch.parts)
        loss = short + recipe.long_weight * long
        loss.backward()
        for parameter, half in pairs:
            parameter.grad = None if half.grad is None else half.grad.float()
            half.grad = None
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            for parameter, half in pairs:
                half.copy_(parameter)
        since.append(loss.detach())
        if step % 250 == 0:
            losses.append((step, float(torch.stack(since).mean())))
            since = []
            log.info("step %d loss %.4f after %.0f s", step, losses[-1][1], time.monotonic() - started)
    raise AssertionError("the sampler never ends")
