"""A whole run as events without processes: everybody around the trainer's fold answers at once and always the same."""

import random
from collections.abc import Callable, Iterable

from protocols.codec import adapter_digest, digest
from protocols.messages import Adapter, Fault, Question, Relabel, Round, Step, Swap, Task, Trajectory, Verdict
from services.settings import Settings
from services.trainer.dataset import dataset_digest
from services.trainer.state import Event, Publish, Train, TrainerState

OBJECTS = ("apple", "mug", "book", "vase")
VERBS = {"pick": "pick up", "open": "open", "break": "break"}

Arrange = Callable[[list[Event]], Iterable[Event]]


def make_task(verb: str, object: str) -> Task:
    return Task(id=f"{verb}:{object}", instruction=f"{VERBS[verb]} the {object}", verb=verb, object=object)


def make_trajectory(round: int, index: int, actor_version: int, **fields: object) -> Trajectory:
    rng = random.Random(f"{round}/{index}/{actor_version}")
    verb, thing = rng.choice(list(VERBS)), rng.choice(OBJECTS)
    other = rng.choice(OBJECTS)
    actions = [f"find {other}", f"{VERBS[verb]} {other}", f"find {thing}", f"{VERBS[verb]} {thing}", "done"]
    values: dict[str, object] = {
        "id": f"r{round}-{index:05d}", "round": round, "index": index, "world": "household", "seed": index,
        "task": make_task(verb, thing), "final_frame": digest(f"{round}/{index}/end".encode()), "ended": "done",
        "actor_version": actor_version,
        "steps": tuple(
            Step(frame=digest(f"{round}/{index}/{at}".encode()), action=action)
            for at, action in enumerate(actions[: rng.randint(2, 5)])
        ),
    }  # fmt: skip
    return Trajectory(**{**values, **fields})  # type: ignore[arg-type]


def make_verdict(trajectory: Trajectory, version: int, task: Task | None = None) -> Verdict:
    subject = "task" if task is None else "relabel"
    rng = random.Random(f"{trajectory.id}/{version}/{subject}")
    judged, first = rng.random() < 0.5, version < trajectory.round
    holds = rng.random() < 0.5
    frame = trajectory.final_frame or digest(b"none")
    asked = Question(text="?", answer="yes" if holds else "no", frame=frame, version=0, expected="yes")
    return Verdict(
        trajectory=trajectory.id, round=trajectory.round, task=task or trajectory.task, subject=subject, frame=frame,
        judged=judged, log_odds=1.0 if judged else -1.0, success=holds if first else judged,
        questions=(asked,) if first else (), critic_version=version,
    )  # fmt: skip


def make_relabel(trajectory: Trajectory) -> Relabel:
    rng = random.Random(f"{trajectory.id}/relabel")
    act = rng.randrange(len(trajectory.steps))
    words = trajectory.steps[act].action.split()
    found = make_task(trajectory.task.verb, words[-1]) if rng.random() < 0.7 and len(words) > 1 else None
    found = None if found and found.id == trajectory.task.id else found
    return Relabel(trajectory=trajectory.id, round=trajectory.round, task=found, act=act if found else None)


def make_adapter(work: Train, promoted: bool = True) -> Adapter:
    files = {"adapter_model.json": digest(f"{work.id}/{dataset_digest(work.rows)}".encode())}
    return Adapter(
        role=work.role, version=work.version, round=work.version, parent=work.parent.version if work.parent else 0,
        files=files, digest=adapter_digest(files), base_model="scripted@1", dataset=dataset_digest(work.rows),
        rows=len(work.rows), promoted=promoted, reason=None if promoted else "collapsed",
    )  # fmt: skip


class Story:
    """Plays everybody but the trainer. ``arrange`` may reorder and repeat what comes between two announcements."""

    def __init__(self, settings: Settings, *, arrange: Arrange = list, refused: frozenset[str] = frozenset()) -> None:
        self.settings = settings
        self.arrange = arrange
        self.refused = refused
        self.events: list[Event] = []
        self.faults: list[Fault] = []
        self._judging = 0
        self.trained: dict[str, Train] = {}

    def after(self, decision: Publish | Train) -> list[Event]:
        """What everybody says because of a decision."""
        if isinstance(decision, Train):
            self.trained[decision.id] = decision
            return self._announced(make_adapter(decision, decision.id not in self.refused))
        message = decision.message
        if isinstance(message, Adapter):
            return self._announced(message)
        if isinstance(message, Fault):  # for a person: no fold of learning reads it
            self.faults.append(message)
            return []
        if not isinstance(message, Round):
            return [message]  # type: ignore[list-item]
        return [message, *self.arrange(list(self._round(message)))]

    def _announced(self, adapter: Adapter) -> list[Event]:
        if not adapter.promoted:
            return [adapter]
        served = f"{adapter.role}@{adapter.version}/swap" not in self.refused
        swap = Swap(
            role=adapter.role, instance="x-0", version=adapter.version, digest=adapter.digest, served=served,
            seconds=0.1, in_flight=0,
        )  # fmt: skip
        return [adapter, swap]

    def _round(self, round: Round) -> Iterable[Event]:
        if round.phase == "collect":
            self._judging = round.critic_version
        for index in range(round.quota if round.phase in ("collect", "rejudge") else 0):
            trajectory = make_trajectory(round.number, index, round.actor_version)
            first = make_verdict(trajectory, self._judging)
            relabel = None if first.success else make_relabel(trajectory)
            if round.phase == "collect":
                yield trajectory
                yield first
                if relabel:
                    yield relabel
            else:
                yield make_verdict(trajectory, round.critic_version)
                if relabel and relabel.task:
                    yield make_verdict(trajectory, round.critic_version, relabel.task)

    def run(self) -> dict[str, str]:
        """Runs to the end; returns the dataset digest of every training."""
        state = TrainerState(self.settings)
        taken: set[str] = set()
        for _ in range(1000):
            todo = [decision for decision in state.decide() if decision.id not in taken]
            if not todo:
                return self.digests()
            for decision in todo:
                taken.add(decision.id)
                for event in self.after(decision):
                    self.events.append(event)
                    state.apply(event)
        raise AssertionError("the story has no end")

    def digests(self) -> dict[str, str]:
        return {id: dataset_digest(work.rows) for id, work in self.trained.items()}
