"""Every message of the mesh, each with who says it to whom. `topics.py` says where each travels.

Messages are immutable and carry digests, never pixels or weights. A field that is added later has a default, so that
old readers ignore it and new readers can read old logs. A *digest* is the sha256 of a blob in lower-case hex.
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
"""The two learners. Each has its own adapter over the same base model."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower, omit_defaults=True):
    """Base of everything that travels inside an envelope."""


# -- parts ---------------------------------------------------------------------------------------


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the actor is asked to do. ``id`` is verb:object[:target], for example ``put:apple:fridge``."""

    id: Name
    instruction: Text
    verb: Name
    object: Name
    target: Name | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action: the first-person frame it was chosen from, and what the world said when it refused."""

    frame: Digest
    action: Text
    error: Text | None = None
    admissible: tuple[Text, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question the model put to itself about a frame, with all that is needed to ask it again.

    ``expected`` is the answer that would mean the goal state holds, or, where ``denies``, that it does not; ``None``
    where any answer is informative. ``log_odds`` are those of the answer "yes" of a closed question, and of the
    ``expected`` one of an open question, in nats.
    """

    text: Text
    answer: Text
    frame: Digest
    version: Count
    expected: Text | None = None
    log_odds: float | None = None
    denies: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What self-asking says of another instruction than the trajectory's own: whether its goal ``holds`` in the last
    frame, and the size of the log-odds that rests on."""

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
    """simulator -> critic, trainer: one finished episode. It never says whether it succeeded.

    ``ended`` is "done" (the actor said so), "limit" (step limit) or "truncated" (the simulator failed: see ``cause``).
    ``final_frame`` is the last third-person frame; ``None`` only when truncated before it could be taken.
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
    """critic -> relabeler, trainer: was `task` done in this trajectory, and why the critic thinks so.

    ``judged`` is the critic's own yes or no, ``log_odds`` its confidence in nats; ``success`` is what stands after
    self-asking, ``confidence`` the size of the log-odds it rests on, and ``questions`` are what it asked itself.
    ``findings`` are about the other instructions that the trajectory's own actions carry out.
    ``subject`` is "task" for the trajectory's own instruction and "relabel" when a re-judging critic is looking at the
    instruction hindsight gave it.
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
        return self.judged != self.success


class Relabel(Message, frozen=True, kw_only=True):
    """relabeler -> trainer: the instruction a failed trajectory fulfils after all, or ``task=None`` for none.

    ``act`` is the index of the step that brought the new goal about, where the trajectory's own actions name it.
    """

    trajectory: Name
    round: Count
    task: Task | None
    act: Count | None = None
    questions: tuple[Question, ...] = ()


class Adapter(Message, frozen=True, kw_only=True):
    """trainer -> actor, critic, evaluator: a trained LoRA adapter, or the record of one that was refused.

    ``files`` maps file names to blob digests; ``digest`` is `adapter_digest(files)`. A refused adapter has
    ``promoted=False`` and its ``reason``; the previous version goes on serving. ``parent`` is the version it was
    trained from, 0 for the base model. ``dataset`` is the digest of the rows it was trained on, and ``balance`` counts
    them by answer (the critic's) and by verb.
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
    """actor, critic -> evaluator, person: an adapter is now serving in this engine (or was refused by it).

    ``seconds`` is from the message's arrival to the first canary answer; ``in_flight`` the requests of older versions
    that were being answered meanwhile, all of which finish on the version they started with.
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
    """trainer -> simulator, critic, relabeler, evaluator, dashboard: where the run stands.

    Said at each change of ``phase``. ``quota`` is the number of trajectories of the round; the versions are those that
    act and judge from here on. A version lower than the one before it means that the newer one was withdrawn.
    """

    number: Count
    phase: Literal["collect", "train_critic", "rejudge", "train_actor", "finished"]
    quota: Count
    actor_version: Count
    critic_version: Count
    max_staleness: Count = 0


class Dropped(Message, frozen=True, kw_only=True):
    """trainer -> person: a trajectory that was recorded and not learned from, and why. Nothing vanishes silently."""

    trajectory: Name
    round: Count
    reason: Text


class Evaluation(Message, frozen=True, kw_only=True):
    """evaluator -> dashboard: one version of one role on held-out tasks.

    ``score`` is the actor's success rate or the critic's accuracy; ``by_task`` the same per verb; ``extra`` further
    figures (balanced accuracy, rates, label precision), each a proportion in [0, 1]. ``labels`` says how right the rows
    of its own round were that the version learned from, by the world's truth: precision and recall of D_c or D_a.
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
    """simulator -> evaluator only: the world's own truth about a trajectory. It audits labels and never trains.

    ``satisfied`` holds the ids of all tasks whose goal holds in the final state.
    """

    trajectory: Name
    round: Count
    success: bool
    satisfied: tuple[Name, ...] = ()


class Fault(Message, frozen=True, kw_only=True):
    """anyone -> person: something was refused or given up. ``offending`` is the digest of the bytes, if any."""

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
    """every service -> launcher, dashboard: alive, how loaded, how large. Sent about once a second."""

    role: Name
    instance: Name
    pid: Count
    ready: bool
    rss_bytes: Count
    loop_lag_seconds: Seconds = 0.0
    gauges: dict[str, float] = {}


class Progress(Message, frozen=True, kw_only=True):
    """any service -> launcher: how far a piece of work is."""

    role: Name
    what: Text
    done: Count
    total: Count


# -- calls (request and reply) -------------------------------------------------------------------


class Act(Message, frozen=True, kw_only=True):
    """simulator, evaluator -> actor: choose the next action of an episode.

    ``version`` pins the adapter (0 is the base model); ``None`` takes the newest. An episode pins the version of its
    first answer, so that one version acts it from first to last. Of several ``samples`` the commonest action is the
    answer; those in ``without`` are taken only where there is no other. ``background`` requests yield to learning.
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

    With ``choices`` the answer is one of them and, where they are yes and no, carries log-odds. Of several ``samples``
    the commonest is the answer, and the log-odds are those of the votes.
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
