"""Verdicts that no critic learns from, and what is measured on them. Pure."""

import hashlib

from protocols.messages import Verdict


def held_back(trajectory: str, share: float) -> bool:
    """Whether this trajectory is one of the `share` on which critics are tried and never trained: by its id alone, so
    that everybody knows, in every life of the run."""
    return int.from_bytes(hashlib.sha256(f"held back/{trajectory}".encode()).digest()[:4], "big") < share * 2**32


def asked(verdict: Verdict) -> bool:
    """Whether the verdict rests on answers about the state of the object, not on the judgement itself."""
    return bool(verdict.questions)


def frozen(verdict: Verdict) -> bool | None:
    """Whether the frozen base model's answers call the trajectory a success; None where it was not asked.

    It is the one measure that training does not move: the same questions, answered by the same model, in every round.
    """
    if asked(verdict) and all(question.version == 0 for question in verdict.questions):
        return verdict.success
    return None
