"""Encodes requests as OpenAI chat completions and decodes the answers."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from services.models.engine import EngineError, Generation, Request

TOP = 20
"""The number of top log-probabilities requested: the most that vLLM allows by default."""


def chat_body(request: Request, model: str) -> dict[str, Any]:
    """Returns the body of ``/v1/chat/completions`` for a request to `model`."""
    picture = "data:image/png;base64," + base64.b64encode(request.image).decode()
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": request.prompt}]
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "logprobs": True,
        "top_logprobs": TOP if len(request.choices) == 2 else 0,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.choices:
        # An upper bound: each token of a choice has at least one character.
        body["max_tokens"] = max(len(choice) for choice in request.choices) + 2
        body["structured_outputs"] = {"choice": list(request.choices)}
    return body


def read_answer(request: Request, said: Any) -> Generation:
    """Decodes the server's answer. Raises EngineError if it is not a valid answer to the request."""
    if not isinstance(said, dict) or "choices" not in said:
        raise EngineError(f"the server's answer is no OpenAI chat completion: it said {_shown(said)}")
    try:
        choice = cast("dict[str, Any]", said)["choices"][0]
        text = _text(choice["message"].get("content")).strip()
        tokens = (choice.get("logprobs") or {}).get("content") or []
        known = bool(tokens) and all(isinstance(token["logprob"], int | float) for token in tokens)
        log_prob = sum(token["logprob"] for token in tokens) if known else None
        log_odds = _log_odds(request, tokens) if known else None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EngineError(f"the server's answer is no OpenAI chat completion: it said {_shown(said)}") from None
    if log_prob is not None and not math.isfinite(log_prob):
        raise EngineError(f"the model's probabilities are not finite (version {request.version})")
    if request.choices and text not in request.choices:
        raise EngineError(
            f"the server said {text!r} where only {request.choices} were allowed: does it support choices?"
        )
    return Generation(text=text, version=request.version, log_prob=log_prob, log_odds=log_odds)


def _text(content: Any) -> str:
    """Returns the message's text; some servers answer with a list of content parts."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


def _shown(said: Any) -> str:
    """Returns the first 200 characters of an answer on one line, for error texts."""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return repr(" ".join(text.split())[:200])


def _log_odds(request: Request, tokens: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns log odds from the first token's alternatives; None unless both choices are single tokens among them."""
    if len(request.choices) != 2 or not tokens:
        return None
    seen: dict[str, float] = {}
    for one in (*(tokens[0].get("top_logprobs") or ()), tokens[0]):
        seen[one["token"].strip()] = max(one["logprob"], seen.get(one["token"].strip(), -math.inf))
    odds = [seen.get(choice, -math.inf) for choice in request.choices]
    return odds[0] - odds[1] if all(map(math.isfinite, odds)) else None
