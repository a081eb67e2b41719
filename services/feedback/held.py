"""The held-back verdicts, on which no critic is trained, and how the gate reads them. Pure."""

import hashlib

from protocols.messages import Verdict


def held_back(trajectory: str, share: float) -> bool:
    """Whether the trajectory's verdict is held back from training, for a `share` of all trajectories.

    It is a function of the id alone, which gives the same answer in every process and after every restart.
    """
    return int.from_bytes(hashlib.sha256(f"held back/{trajectory}".encode()).digest()[:4], "big") < share * 2**32


def asked(verdict: Verdict) -> bool:
    """Whether the verdict rests on answers of self-asking."""
    return bool(verdict.questions)


def frozen(verdict: Verdict) -> bool | None:
    """Whether the frozen base model's answers call the trajectory a success; None if another version answered or none.

    Training does not affect this measure: the same model answers the same questions in every round.
    """
    if asked(verdict) and all(question.version == 0 for question in verdict.questions):
        return verdict.success
    return None
