"""Answers from a `Backbone`: batched decoding where each row has its own temperature, seed, choices and length."""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import torch

from services.models.engine import EngineError, Generation, Request
from services.models.hf import Backbone, Row


@torch.no_grad()
def answer(backbone: Backbone, requests: Sequence[Request]) -> list[Generation]:
    """Answers under whatever adapter is active; `Generation.version` is the request's.

    Raises EngineError where the probabilities are not finite.
    """
    batch = backbone.batch([Row(r.prompt, r.image, r.image_id) for r in requests], pad="left")
    sampler = _Sampler(backbone, requests)
    backbone.model.generate(
        **batch.inputs,
        logits_processor=[sampler],
        do_sample=False,
        max_new_tokens=max(row.limit for row in sampler.rows),
        eos_token_id=list(backbone.chat.end_ids),
        pad_token_id=backbone.chat.end_ids[0],
    )
    return [row.generation(backbone) for row in sampler.rows]


class _Row:
    """What one row may say next, and what it has said."""

    def __init__(self, backbone: Backbone, request: Request) -> None:
        self.request = request
        self.ends = set(backbone.chat.end_ids)
        self.choices = [backbone.chat.choice_ids(choice) for choice in request.choices]
        single = bool(self.choices) and all(len(ids) == 1 for ids in self.choices)
        self.limit = 1 if single else max((len(ids) + 1 for ids in self.choices), default=request.max_tokens)
        self.said: list[int] = []
        self.log_prob = 0.0
        self.log_odds: float | None = None
        self.done = False
        self._pair = [ids[0] for ids in self.choices] if single and len(self.choices) == 2 else None
        self._noise: torch.Generator | None = None
        if request.temperature > 0:
            seed = secrets.randbits(63) if request.seed is None else request.seed
            self._noise = torch.Generator().manual_seed(seed)

    def next(self, logits: torch.Tensor) -> int:
        """The next token, from the model's logits (vocabulary)."""
        if self.done:
            return min(self.ends)
        if self._pair:
            self.log_odds = float(logits[self._pair[0]] - logits[self._pair[1]])
        if self.choices:
            allowed = self._allowed()
            kept = torch.full_like(logits, -math.inf)
            kept[allowed] = logits[allowed]
            logits = kept
        if self._noise is not None:
            logits = logits / self.request.temperature
        log_probs = torch.log_softmax(logits, dim=-1)
        scores = log_probs
        if self._noise is not None:
            uniform = torch.rand(len(logits), generator=self._noise).clamp_(1e-20, 1 - 1e-7)
            scores = log_probs - torch.log(-torch.log(uniform)).to(log_probs.device)
        token = int(scores.argmax())
        self.log_prob += float(log_probs[token])
        self.said.append(token)
        self.done = token in self.ends or len(self.said) >= self.limit
        return token

    def _allowed(self) -> list[int]:
        here = len(self.said)
        open_choices = [ids for ids in self.choices if ids[:here] == self.said]
        tokens = {ids[here] for ids in open_choices if len(ids) > here}
        return sorted(tokens | (self.ends if any(len(ids) == here for ids in open_choices) else set()))

    def generation(self, backbone: Backbone) -> Generation:
        if not math.isfinite(self.log_prob):
            raise EngineError(f"the model's probabilities are not finite (version {self.request.version})")
        text = backbone.chat.text([token for token in self.said if token not in self.ends])
        return Generation(text=text, version=self.request.version, log_prob=self.log_prob, log_odds=self.log_odds)


class _Sampler:
    """A logits processor that decides for each row and leaves transformers only the decided token."""

    def __init__(self, backbone: Backbone, requests: Sequence[Request]) -> None:
        self.rows = [_Row(backbone, request) for request in requests]

    def __call__(self, input_ids: Any, scores: torch.Tensor) -> torch.Tensor:
        decided = torch.tensor(
            [row.next(logits) for row, logits in zip(self.rows, scores.float(), strict=True)], device=scores.device
        )
        return torch.full_like(scores, -math.inf).scatter_(1, decided[:, None], 0.0)
