"""Self-consistency: samples one request several times and takes the most frequent answer."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from services.models.engine import Generation, Request

TEMPERATURE = 1.0
"""The sampling temperature for a request whose own temperature is 0."""


def ballots(request: Request, samples: int) -> list[Request]:
    """Returns ``samples`` copies of the request, each with its own seed; the request itself if one is enough."""
    if samples <= 1:
        return [request]
    temperature = request.temperature or TEMPERATURE
    return [
        msgspec.structs.replace(request, temperature=temperature, seed=_seed(request, vote)) for vote in range(samples)
    ]


def _seed(request: Request, vote: int) -> int:
    """Returns a 31-bit seed that depends on the request's seed, picture and prompt, and on the vote's number."""
    text = f"{request.seed or 0}/{request.image_id}/{request.prompt}/{vote}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def majority(request: Request, said: Sequence[Generation], without: Sequence[str] = ()) -> Generation:
    """Returns the most frequent answer, the first one in a tie. Answers in `without` count only if there are no others.

    With two choices, the votes give the log-odds (half a vote is added to each), and a tie is the second choice.
    """
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
