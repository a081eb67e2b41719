"""Generates answers with a `Backbone`, in batches whose rows have their own temperature, seed, choices and length."""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import torch

from services.models.engine import EngineError, Generation, Request
from services.models.hf import Backbone, Row


@torch.no_grad()
def answer(backbone: Backbone, requests: Sequence[Request]) -> list[Generation]:
    """Answers with the adapter that is active; `Generation.version` is copied from the request.

    Raises EngineError if the probabilities are not finite.
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
    """The state of one row: its allowed choices, its random generator and the tokens so far."""

    def __init__(self, backbone: Backbone, request: Request) -> None:
        self.request = request
        self.choices = [backbone.chat.choice_ids(choice) for choice in request.choices]
        single = bool(self.choices) and all(len(ids) == 1 for ids in self.choices)
        self.limit = 1 if single else max((len(ids) + 1 for ids in self.choices), default=request.max_tokens)
        self.pair = (self.choices[0][0], self.choices[1][0]) if single and len(self.choices) == 2 else None
        """The two tokens for which log odds are computed, if the request has two single-token choices."""
        self.done = False
        self._ends = set(backbone.chat.end_ids)
        self._said: list[int] = []
        self._log_prob = 0.0
        self._log_odds: float | None = None
        self._noise = torch.Generator()
        if request.temperature > 0:
            self._noise.manual_seed(secrets.randbits(63) if request.seed is None else request.seed)

    def allowed(self) -> list[int]:
        """Returns the tokens that continue one of the choices."""
        here = len(self._said)
        open_choices = [ids for ids in self.choices if ids[:here] == self._said]
        tokens = {ids[here] for ids in open_choices if len(ids) > here}
        return sorted(tokens | (self._ends if any(len(ids) == here for ids in open_choices) else set()))

    def uniform(self, vocabulary: int) -> torch.Tensor:
        return torch.rand(vocabulary, generator=self._noise).clamp_(1e-20, 1 - 1e-7)

    def say(self, token: int, log_prob: float, log_odds: float) -> None:
        self._said.append(token)
        self._log_prob += log_prob
        if self.pair:
            self._log_odds = log_odds
        self.done = token in self._ends or len(self._said) >= self.limit

    def generation(self, backbone: Backbone) -> Generation:
        if not math.isfinite(self._log_prob):
            raise EngineError(f"the model's probabilities are not finite (version {self.request.version})")
        text = backbone.chat.text([token for token in self._said if token not in self._ends])
        version = self.request.version
        return Generation(text=text, version=version, log_prob=self._log_prob, log_odds=self._log_odds)


class _Sampler:
    """A logits processor that picks each row's token itself and masks all others, so transformers must take it.

    It decides all rows together, with a handful of GPU operations and one synchronisation for each token.
    """

    def __init__(self, backbone: Backbone, requests: Sequence[Request]) -> None:
        self.rows = [_Row(backbone, request) for request in requests]
        self._end = min(backbone.chat.end_ids)

    def __call__(self, input_ids: Any, scores: torch.Tensor) -> torch.Tensor:
        live = [index for index, row in enumerate(self.rows) if not row.done]
        tokens = [self._end] * len(self.rows)
        if live:
            logits = scores if len(live) == len(self.rows) else scores[torch.tensor(live, device=scores.device)]
            decided = _decide([self.rows[index] for index in live], logits.float())
            for index, (token, log_prob, log_odds) in zip(live, decided, strict=True):
                tokens[index] = int(token)
                self.rows[index].say(tokens[index], log_prob, log_odds)
        column = torch.tensor(tokens, device=scores.device)[:, None]
        return torch.full_like(scores, -math.inf).scatter_(1, column, 0.0)


def _decide(rows: Sequence[_Row], logits: torch.Tensor) -> list[list[float]]:
    """Returns each row's next token, its log probability, and the log odds of the row's pair (0 without a pair).

    ``logits``: rows x vocabulary.
    """
    device = logits.device
    pairs = torch.tensor([row.pair or (0, 0) for row in rows], device=device)
    odds = logits.gather(1, pairs)
    if allowed := [(at, token) for at, row in enumerate(rows) if row.choices for token in row.allowed()]:
        where = torch.tensor(allowed, device=device).T
        limited = torch.tensor([[bool(row.choices)] for row in rows], device=device)
        kept = logits.masked_fill(limited, -math.inf)
        kept[where[0], where[1]] = logits[where[0], where[1]]
        logits = kept
    logits = logits / torch.tensor([[row.request.temperature or 1.0] for row in rows], device=device)
    log_probs = torch.log_softmax(logits, dim=-1)
    scores = log_probs
    if noisy := [at for at, row in enumerate(rows) if row.request.temperature > 0]:
        uniform = torch.stack([rows[at].uniform(logits.shape[1]) for at in noisy]).to(device)
        # Gumbel-max: the argmax of log p + Gumbel noise is a sample from p.
        scores = log_probs.index_add(0, torch.tensor(noisy, device=device), -torch.log(-torch.log(uniform)))
    token = scores.argmax(dim=-1, keepdim=True)
    told = [token.double(), log_probs.gather(1, token).double(), (odds[:, :1] - odds[:, 1:]).double()]
    return torch.cat(told, dim=1).tolist()
