"""What ``summary.json`` holds. Shares are in [0, 1], times in seconds, intervals are 95% Wilson intervals."""

import msgspec

from protocols.messages import Count, Digest, Estimate, Role
from services.feedback.figures import RoundFeedback


class EngineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What answered: engine name ("vllm", "scripted", ...), its version, device and base model."""

    name: str
    version: str
    device: str
    base_model: str = ""


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out figures of the versions that stand after a round; round 0 is the base model.

    A figure is ``None`` while its version is not evaluated. After a refused adapter the previous version stands, and so
    do its figures. ``seconds`` are those of the round's phases.
    """

    round: Count
    critic_version: Count
    actor_version: Count
    critic_accuracy: Estimate | None
    actor_success: Estimate | None
    seconds: dict[str, float] = {}


class AdapterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A trained adapter. ``swap_seconds`` is from its announcement's arrival to its first canary answer, the slowest
    engine's; ``in_flight`` the requests other versions were answering then; both ``None`` if it never served.
    ``withdrawn``: it served, and self-feedback then told against it."""

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
    """``lost`` is what is missing of rounds that went on to learn: quota that never came, trajectories that were
    neither judged nor dropped, and failures that hindsight never saw."""

    collected: Count = 0
    judged: Count = 0
    asked: Count = 0
    flipped: Count = 0
    relabeled: Count = 0
    dropped_stale: Count = 0
    dropped_other: Count = 0
    lost: Count = 0


class AnswerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Model answers. ``wrong_version`` were given by another version than the one the request pinned."""

    total: Count = 0
    wrong_version: Count = 0
    failed: Count = 0


class LetGo(msgspec.Struct, frozen=True, kw_only=True):
    """What retention deleted: frames of these rounds, so many blobs and bytes in all."""

    rounds: tuple[Count, ...] = ()
    blobs: Count = 0
    bytes: Count = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run. ``finished`` is whether it came to its last round; ``seconds`` has one entry a phase and ``total``.
    ``feedback`` is each round as the model saw itself."""

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
