"""All messages of the mesh. Each docstring names the sender and the receivers; `topics.py` maps messages to topics.

Messages are immutable and carry digests, never pixels or weights. A field that is added later needs a default: old
readers ignore the field, and new readers can read old logs. A *digest* is the sha256 of a blob in lower-case hex.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from protocols import limits

Name = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS)]
Text = Annotated[str, Meta(max_length=limits.TEXT_CHARS)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=limits.COUNT)]
Seconds = Annotated[float, Meta(ge=0)]
Samples = Annotated[int, Meta(ge=1, le=64)]
Role = Literal["actor", "critic"]
"""The two trained roles. Each has its own adapter over the same base model."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower, omit_defaults=True):
    """Base class of all message bodies."""


# -- parts ---------------------------------------------------------------------------------------


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An instruction for the actor. ``id`` is verb:object[:target], for example ``put:apple:fridge``."""

    id: Name
    instruction: Text
    verb: Name
    object: Name
    target: Name | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action and the first-person ``frame`` that it was chosen from.

    ``error`` is the world's message if it refused the action. ``admissible`` are the actions that the world offered.
    """

    frame: Digest
    action: Text
    error: Text | None = None
    admissible: tuple[Text, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One self-asked question about a frame, with everything that is needed to ask it again.

    ``expected`` is the answer that means that the goal state holds or, if ``denies``, that it does not hold. It is
    ``None`` if any answer is informative. ``log_odds`` (in nats) are those of "yes" for a closed question, and those
    of the ``expected`` answer for an open question.
    """

    text: Text
    answer: Text
    frame: Digest
    version: Count
    expected: Text | None = None
    log_odds: float | None = None
    denies: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The self-asked verdict on another instruction that the trajectory's own actions carry out.

    ``holds`` is True if its goal holds in the last frame; ``confidence`` is the absolute value of the log-odds behind
    that, in nats.
    """

    task: Task
    holds: bool
    confidence: float
    questions: tuple[Question, ...] = ()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A measured proportion with its 95% Wilson interval. ``n`` is the number of independent episodes or frames."""

    value: float
    n: Count
    ci95: tuple[float, float]


# -- durable topics ------------------------------------------------------------------------------


class Trajectory(Message, frozen=True, kw_only=True):
    """simulator -> critic, trainer: one finished episode, without its success.

    ``ended`` is "done" (the actor ended it), "limit" (step limit) or "truncated" (the simulator failed; see ``cause``).
    ``final_frame`` is the last third-person frame. It is ``None`` only if the episode was truncated before that frame.
    """

    id: Name
    round: Count
    index: Count
    world: Name
    seed: int
    task: Task
    steps: Annotated[tuple[Step, ...], Meta(max_length=limits.STEPS)]
    final_frame: Digest | None
    actor_version: Count
    ended: Literal["done", "limit", "truncated"]
    cause: Text | None = None
    seconds: Seconds = 0.0


class Verdict(Message, frozen=True, kw_only=True):
    """critic -> relabeler, trainer: whether `task` was carried out in this trajectory, and the reasons.

    ``judged`` is the critic's own yes or no, and ``log_odds`` those of yes, in nats. ``success`` is the result after
    self-asking, ``confidence`` the absolute value of the log-odds behind it, and ``questions`` the self-asked
    questions. ``findings`` are verdicts on other instructions that the trajectory's own actions carry out.
    ``subject`` is "task" for the trajectory's own instruction, and "relabel" if the tuned critic judges the
    instruction that hindsight relabeling gave to it.
    """

    trajectory: Name
    round: Count
    task: Task
    subject: Literal["task", "relabel"] = "task"
    frame: Digest
    judged: bool
    log_odds: float
    success: bool
    questions: tuple[Question, ...] = ()
    critic_version: Count
    confidence: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def flipped(self) -> bool:
        """Whether self-asking reversed the critic's own yes or no."""
        return self.judged != self.success


class Relabel(Message, frozen=True, kw_only=True):
    """relabeler -> trainer: the instruction that a failed trajectory fulfils after all, or ``task=None`` for none.

    ``act`` is the index of the step that reached the new goal, if the trajectory's own actions show it.
    """

    trajectory: Name
    round: Count
    task: Task | None
    act: Count | None = None
    questions: tuple[Question, ...] = ()


class Adapter(Message, frozen=True, kw_only=True):
    """trainer -> actor, critic, evaluator: a trained LoRA adapter, or the record of a refused one.

    ``files`` maps file names to blob digests; ``digest`` is `adapter_digest(files)`. A refused adapter has
    ``promoted=False`` and a ``reason``, and the previous version continues to serve. ``parent`` is the version that
    training started from, 0 for the base model. ``dataset`` is the digest of the ``rows`` training rows; ``balance``
    counts them by answer (critic only) and by verb.
    """

    role: Role
    version: Annotated[int, Meta(ge=1)]
    round: Count
    parent: Count
    files: dict[str, Digest]
    digest: Digest
    base_model: Name
    dataset: Digest
    rows: Count
    balance: dict[str, Count] = {}
    promoted: bool
    reason: Text | None = None
    metrics: dict[str, float] = {}
    seconds: Seconds = 0.0


class Swap(Message, frozen=True, kw_only=True):
    """actor, critic -> evaluator, person: this engine now serves an adapter, or refused it (``served=False``).

    ``seconds`` is the time from the message's arrival to the first canary answer. ``in_flight`` is the number of
    requests to older versions in progress meanwhile; each finishes on the version that it started with.
    """

    role: Role
    instance: Name
    version: Count
    digest: Digest
    served: bool
    seconds: Seconds
    in_flight: Count
    reason: Text | None = None


class Round(Message, frozen=True, kw_only=True):
    """trainer -> simulator, critic, relabeler, evaluator, dashboard: the state of the run at a change of ``phase``.

    ``quota`` is the number of trajectories of the round. The two versions are those that act and judge from now on; a
    version lower than the previous one means that the newer version was withdrawn.
    """

    number: Count
    phase: Literal["collect", "train_critic", "rejudge", "train_actor", "finished"]
    quota: Count
    actor_version: Count
    critic_version: Count
    max_staleness: Count = 0


class Dropped(Message, frozen=True, kw_only=True):
    """trainer -> person: a recorded trajectory that is not used for training, and the reason."""

    trajectory: Name
    round: Count
    reason: Text


class Evaluation(Message, frozen=True, kw_only=True):
    """evaluator -> dashboard: the result of one version of one role on held-out tasks.

    ``score`` is the actor's success rate or the critic's accuracy, and ``by_task`` the same per verb. ``extra`` are
    further metrics (balanced accuracy, rates, label precision), each a proportion in [0, 1]. ``labels`` compare
    the rows of D_c or D_a from the version's own round with the world's truth: accuracy, precision and recall.
    """

    role: Role
    version: Count
    round: Count
    score: Estimate
    by_task: dict[str, Estimate] = {}
    extra: dict[str, float] = {}
    labels: dict[str, Estimate] = {}
    seconds: Seconds = 0.0


class Outcome(Message, frozen=True, kw_only=True):
    """simulator -> evaluator only: the world's truth about a trajectory, for evaluation and never for training.

    ``satisfied`` are the ids of all tasks whose goal holds in the final state.
    """

    trajectory: Name
    round: Count
    success: bool
    satisfied: tuple[Name, ...] = ()


class Fault(Message, frozen=True, kw_only=True):
    """any service -> person: something was refused or given up. ``do`` is the remedy; ``offending`` is the digest of
    the refused bytes, if any."""

    service: Name
    what: Text
    why: Text
    do: Text = ""
    offending: Digest | None = None


# -- live topics (lossy) -------------------------------------------------------------------------


class LiveStep(Message, frozen=True, kw_only=True):
    """simulator -> dashboard: an action as it happens."""

    trajectory: Name
    task: Task
    index: Count
    action: Text
    error: Text | None = None
    frame: Digest | None = None
    actor_version: Count = 0


class Health(Message, frozen=True, kw_only=True):
    """every service -> launcher, dashboard: a heartbeat with load and memory, sent about once a second."""

    role: Name
    instance: Name
    pid: Count
    ready: bool
    rss_bytes: Count
    loop_lag_seconds: Seconds = 0.0
    gauges: dict[str, float] = {}


class Progress(Message, frozen=True, kw_only=True):
    """any service -> launcher: the progress of one piece of work."""

    role: Name
    what: Text
    done: Count
    total: Count


# -- calls (request and reply) -------------------------------------------------------------------


class Act(Message, frozen=True, kw_only=True):
    """simulator, evaluator -> actor: choose the next action of an episode.

    ``version`` selects the adapter (0 is the base model); ``None`` selects the newest. Callers repeat the version of
    the first answer, which keeps one version for the whole episode. Of several ``samples`` the most frequent action is
    the answer; an action in ``without`` is chosen only if there is no other. ``background`` requests have low priority.
    """

    episode: Name
    frame: Digest
    task: Task
    history: tuple[Text, ...] = ()
    admissible: tuple[Text, ...] = ()
    version: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=10)] = 0.0
    seed: int = 0
    samples: Samples = 1
    without: tuple[Text, ...] = ()
    background: bool = False


class Action(Message, frozen=True, kw_only=True):
    """actor -> caller: the answer to `Act`. ``log_prob`` is the sum over the action's tokens, in nats."""

    action: Text
    version: Count
    log_prob: float | None = None


class Ask(Message, frozen=True, kw_only=True):
    """relabeler, evaluator -> critic: one question about one frame.

    With ``choices`` the answer is one of them; for the choices yes and no it has log-odds. Of several ``samples`` the
    most frequent one is the answer, and the log-odds are those of the votes.
    """

    frame: Digest
    question: Text
    version: Count | None = None
    choices: tuple[Text, ...] = ()
    samples: Samples = 1
    background: bool = False


class Answer(Message, frozen=True, kw_only=True):
    """critic -> caller: the answer to `Ask`."""

    answer: Text
    version: Count
    log_odds: float | None = None


DURABLE = Trajectory | Verdict | Relabel | Adapter | Swap | Round | Dropped | Evaluation | Outcome | Fault
LIVE = LiveStep | Health | Progress
CALL = Act | Action | Ask | Answer
AnyMessage = DURABLE | LIVE | CALL
