"""Converts requests to vLLM's parameters and vLLM's outputs to answers."""

from typing import Any

import msgspec

from services.models.chat import ChatFormat
from services.models.engine import Generation, Request
from services.models.pictures import decode


class Asked(msgspec.Struct, frozen=True):
    """``parameters`` are vLLM's SamplingParams; ``choice_tokens`` the choices' tokens if each choice is one token."""

    parameters: Any
    choice_tokens: tuple[int, ...] = ()


def picture(request: Request) -> Any:
    """Returns the request's picture as a PIL image in RGB."""
    return decode(request.image)


def sampling(chat: ChatFormat, request: Request) -> Asked:
    """Converts a request. Single-token choices become allowed tokens of one step; longer choices become a grammar."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    common: dict[str, Any] = {
        "temperature": request.temperature,
        "seed": request.seed if request.temperature > 0 else None,
        "detokenize": False,
        "output_kind": RequestOutputKind.FINAL_ONLY,
    }
    if not request.choices:
        return Asked(SamplingParams(max_tokens=request.max_tokens, logprobs=0, **common))
    ids = [chat.choice_ids(choice) for choice in request.choices]
    first = tuple(tokens[0] for tokens in ids)
    if all(len(tokens) == 1 for tokens in ids) and len(set(first)) == len(first):
        return Asked(SamplingParams(max_tokens=1, allowed_token_ids=list(first), logprobs=len(first), **common), first)
    spelled = [chat.choice(choice) for choice in request.choices]
    # The grammar allows any tokenization, even one token for each byte; the end takes one more token.
    longest = max(len(choice.encode()) for choice in spelled) + 1
    choices = StructuredOutputsParams(choice=spelled)
    return Asked(SamplingParams(max_tokens=longest, logprobs=0, structured_outputs=choices, **common))


def read_answer(chat: ChatFormat, request: Request, asked: Asked, output: Any) -> Generation:
    """Converts vLLM's RequestOutput of a finished request to an answer."""
    said = output.outputs[0]
    tokens = list(said.token_ids)
    log_prob = sum(row[token].logprob for row, token in zip(said.logprobs or (), tokens, strict=False))
    if not asked.choice_tokens:
        return Generation(text=chat.text(tokens), version=request.version, log_prob=log_prob)
    log_odds = None
    if len(asked.choice_tokens) == 2:
        row = said.logprobs[0]
        yes, no = (row[token].logprob for token in asked.choice_tokens)
        log_odds = (yes - no) * (request.temperature if request.temperature > 0 else 1.0)
    text = request.choices[asked.choice_tokens.index(tokens[0])]
    return Generation(text=text, version=request.version, log_prob=log_prob, log_odds=log_odds)
