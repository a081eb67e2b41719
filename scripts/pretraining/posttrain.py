"""Post-training and practice with frozen vision: they make a conservative judge and an undecided actor for SELU.

The judge sees many judgements, but its source-domain labellers missed some of the true successes. It learns where to
look but judges badly, which is the weakness that self-asking corrects. The demonstrations come from near-even rules,
which makes later exploration try each of them.
"""

import logging
import random
import time
from collections.abc import Iterator

import msgspec
import torch

from scripts.pretraining.data import Corpus, Row
from scripts.pretraining.model import Micro
from scripts.pretraining.train import Trained
from services.critic.prompts import NO, YES

log = logging.getLogger("pretrain")


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A step has ``batch`` rows; ``judgements`` and ``questions`` are the shares of these, the rest are actions.
    ``missed`` is the share of true successes that the labellers called failures."""

    steps: int = 150
    batch: int = 144
    judgements: float = 0.42
    questions: float = 0.28
    short_weight: float = 0.65
    missed: float = 0.3
    learning_rate: float = 3e-4
    warmup: int = 15
    weight_decay: float = 0.02


PRACTICE = Recipe(steps=450, judgements=0.0, questions=0.65, missed=0.0)
"""Practice: questions whether an object is in or on a place, as a judge of "put" needs, without judgements."""


def mislabelled(rows: list[Row], missed: float, rng: random.Random) -> list[Row]:
    """The judgements, with a share of the successes relabelled as failures."""
    return [row._replace(answer=NO) if row.answer == YES and rng.random() < missed else row for row in rows]


def _batches(rows: list[Row], size: int, rng: random.Random) -> Iterator[list[Row]]:
    """Batches of a shuffled pool, which is shuffled again when it is used up."""
    order: list[Row] = []
    while True:
        if len(order) < size:
            order = rng.sample(rows, len(rows))
        yield [order.pop() for _ in range(min(size, len(order)))]


def posttrain(micro: Micro, corpus: Corpus, recipe: Recipe, *, seed: int) -> Trained:
    """Trains the text model. Vision tower and connector are frozen, so each picture is encoded once."""
    started, rng = time.monotonic(), random.Random(seed)
    features = micro.features(corpus.images)
    for name, parameter in micro.model.named_parameters():
        parameter.requires_grad_("vision_model" not in name and "connector" not in name)
    parameters = [p for p in micro.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    judged = [row for row in corpus.rows if row.kind.startswith("judge")]
    acts = [row for row in corpus.rows if row.kind == "act"]
    asked = [row for row in corpus.rows if row.kind not in ("act", "caption") and not row.kind.startswith("judge")]
    n_judged, n_asked = int(recipe.batch * recipe.judgements), int(recipe.batch * recipe.questions)
    judgements = _batches(mislabelled(judged, recipe.missed, rng), n_judged, rng)
    questions = _batches(asked, n_asked, rng)
    demonstrations = _batches(acts, recipe.batch - n_judged - n_asked, rng)
    losses: list[tuple[int, float]] = []
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1, (step + 1) / recipe.warmup) * (1 - step / recipe.steps)
        optimizer.zero_grad()
        total = 0.0
        parts = (
            (recipe.short_weight, next(judgements) + next(questions)),
            (1 - recipe.short_weight, next(demonstrations)),
        )
        for weight, rows in parts:
            ids, labels = micro.batch([(row.prompt, row.answer) for row in rows])
            loss = weight * micro.loss(ids, labels, features[[row.image for row in rows]])
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 25 == 0:
            losses.append((step, total))
            log.info("step %d loss %.4f after %.0f s", step, total, time.monotonic() - started)
    for parameter in micro.model.parameters():
        parameter.requires_grad_(True)
    return Trained(recipe.steps, time.monotonic() - started, losses)
