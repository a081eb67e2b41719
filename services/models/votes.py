"""Self-consistency: one request sampled several times, and the answer that most of the samples gave. Pure."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from services.models.engine import Generation, Request

TEMPERATURE = 1.0
"""How votes on a request that asks for the likeliest answer are sampled."""


def ballots(request: Request, samples: int) -> list[Request]:
    """The request ``samples`` times, each with a seed of its own; the request itself where one is enough."""
    if samples <= 1:
        return [request]
    temperature = request.temperature or TEMPERATURE
    return [
        msgspec.structs.replace(request, temperature=temperature, seed=_seed(request, vote)) for vote in range(samples)
    ]


def _seed(request: Request, vote: int) -> int:
    """31 bits, the same for the same question about the same picture."""
    text = f"{request.seed or 0}/{request.image_id}/{request.prompt}/{vote}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def majority(request: Request, said: Sequence[Generation], without: Sequence[str] = ()) -> Generation:
    """The commonest answer, the first of equally common ones; one in `without` only where all are. Between two choices
    the votes give its log-odds, each counted with half a vote more, and a tie is the second choice."""
    said = [one for one in said if _normal(one.text) not in without] or said
    if len(said) == 1:
        return said[0]
    votes = Counter(_normal(one.text) for one in said)
    if len(request.choices) == 2:
        first, second = (votes[_normal(choice)] for choice in request.choices)
        text = request.choices[0 if first > second else 1]
        return Generation(text=text, version=said[0].version, log_odds=math.log((first + 0.5) / (second + 0.5)))
    most = max(votes.values())
    return next(one for one in said if votes[_normal(one.text)] == most)


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
