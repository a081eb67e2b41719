"""The contents of ``summary.json``. Shares are in [0, 1], times in seconds, intervals are 95% Wilson intervals."""

import msgspec

from protocols.messages import Count, Digest, Estimate, Role
from services.feedback.figures import RoundFeedback


class EngineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that answered: its name ("vllm", "scripted", ...), version, device and base model."""

    name: str
    version: str
    device: str
    base_model: str = ""


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out metrics of the versions that are active after a round; round 0 is the base model.

    A metric is ``None`` while its version has no evaluation. After a refused adapter the previous version stays active,
    with its metrics. ``seconds`` are those of the round's phases.
    """

    round: Count
    critic_version: Count
    actor_version: Count
    critic_accuracy: Estimate | None
    actor_success: Estimate | None
    seconds: dict[str, float] = {}


class AdapterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A trained adapter.

    ``swap_seconds`` is the time from the arrival of its announcement to its first canary answer, of the slowest engine.
    ``in_flight`` is the number of requests that other versions were answering then. Both are ``None`` if the adapter
    never served. ``withdrawn``: it served, and the gate withdrew it later because of self-feedback.
    """

    role: Role
    version: Count
    round: Count
    digest: Digest
    promoted: bool
    withdrawn: bool = False
    reason: str | None
    rows: Count
    train_seconds: float
    swap_seconds: float | None
    in_flight: Count | None


class TrajectoryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """``lost`` counts what is missing of rounds that were trained on: trajectories that never came, trajectories that
    were neither judged nor dropped, and failures without a relabel."""

    collected: Count = 0
    judged: Count = 0
    asked: Count = 0
    flipped: Count = 0
    relabeled: Count = 0
    dropped_stale: Count = 0
    dropped_other: Count = 0
    lost: Count = 0


class AnswerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Model answers. ``wrong_version`` counts answers by another version than the one that the request named."""

    total: Count = 0
    wrong_version: Count = 0
    failed: Count = 0


class LetGo(msgspec.Struct, frozen=True, kw_only=True):
    """The deletions of retention: rounds whose frames were deleted, and the total number of blobs and bytes."""

    rounds: tuple[Count, ...] = ()
    blobs: Count = 0
    bytes: Count = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run. ``finished``: it reached the end of its last round. ``seconds`` has one entry for each phase, and
    ``total``. ``feedback`` has each round's metrics of self-feedback."""

    run: str
    version: str
    finished: bool
    engine: EngineFigures | None
    rounds: tuple[RoundFigures, ...]
    adapters: tuple[AdapterFigures, ...]
    trajectories: TrajectoryFigures
    answers: AnswerFigures
    seconds: dict[str, float]
    faults: Count = 0
    restarts: Count = 0
    memory_peak_bytes: Count = 0
    let_go: LetGo = LetGo()
    feedback: tuple[RoundFeedback, ...] = ()


def to_json(summary: Summary) -> bytes:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
