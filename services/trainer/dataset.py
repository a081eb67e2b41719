"""Builds the training sets D_c and D_a: supervised rows with their provenance, from a round's trajectories. Pure.

Rows follow the order of trajectory ids, and random choices use the run's seed. The result does not depend on the order
in which messages arrived (paper section 4.3).
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Literal, TypeVar

import msgspec

from protocols.codec import digest
from protocols.messages import Count, Digest, Name, Relabel, Step, Task, Trajectory, Verdict
from services.actor.prompts import next_action
from services.critic.prompts import NO, YES, judge
from services.feedback.held import held_back
from services.settings import Trainer
from services.trainer.learner import Row
from services.worlds.spelling import mentions, task_key
from services.worlds.verbs import VERBS

DONE = "done"
"""The action with which the actor ends an episode."""

FLOOR, SLACK = 20, 1.2
"""Limits of `balanced`: an answer keeps at most `SLACK` times the rows of the rarer answer, or `SLACK` times `FLOOR`
rows if that is more. Without the floor, a first round with hardly any "yes" would have next to nothing to train on."""

FEW = 10
"""If fewer verdicts than this have the same answer, none of them is dropped for low confidence."""


Named = TypeVar("Named", str, tuple[str, str])
Source = Literal["verdict", "self_asking", "finding", "hindsight", "exclusion", "rollout"]


class Example(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A training row with the provenance of its answer.

    ``source`` is the origin of the answer:
    "verdict": the critic's own judgement; "self_asking": a judgement that self-asking reversed;
    "finding": a self-asked verdict about another instruction; "hindsight": a relabelled instruction;
    "exclusion": an instruction that hindsight's answer rules out; "rollout": the actor's own action.

    ``actor_version`` acted the trajectory, ``critic_version`` judged it.
    """

    trajectory: Name
    round: Count
    source: Source
    instruction: str
    verb: str
    actor_version: Count
    critic_version: Count


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The messages about one trajectory. ``rejudged`` is the tuned critic's verdict, None if no critic was promoted."""

    trajectory: Trajectory
    first: Verdict
    relabel: Relabel | None = None
    rejudged: Verdict | None = None
    rejudged_relabel: Verdict | None = None


def _ordered(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.trajectory.id)


def _judgement(record: Record, task: Task, answer: str, source: Source) -> Example:
    trajectory = record.trajectory
    assert trajectory.final_frame is not None, "truncated trajectories are never judged"
    return Example(
        frame=trajectory.final_frame,
        prompt=judge(task.instruction),
        answer=answer,
        trajectory=trajectory.id,
        round=trajectory.round,
        source=source,
        instruction=task.instruction,
        verb=task.verb,
        actor_version=trajectory.actor_version,
        critic_version=record.first.critic_version,
    )


def hindsight(record: Record) -> Task | None:
    """The instruction that a failed trajectory fulfils according to hindsight, or None."""
    return record.relabel.task if record.relabel and not record.first.success else None


def critic_examples(records: Iterable[Record], settings: Trainer, *, seed: int) -> list[Example]:
    """One round's rows of D_c: verdicts, relabelled instructions, instructions excluded by hindsight, and findings."""
    records = _ordered(records)
    tasks = {record.trajectory.task.id: record.trajectory.task for record in records}
    doubted, verbs = doubtful(records, settings.drop), {task.verb for task in tasks.values()}
    doubted_findings = _least_sure(_findings(records), settings.drop)
    examples: list[Example] = []
    for record in records:
        own, found = record.trajectory.task, hindsight(record) if settings.relabels != "off" else None
        answer = YES if record.first.success else NO
        if record.trajectory.id not in doubted:
            examples.append(_judgement(record, own, answer, "self_asking" if record.first.flipped else "verdict"))
        if found is not None:
            examples.append(_judgement(record, found, YES, "hindsight"))
        if found is not None and settings.negatives and VERBS[found.verb].which:
            # These verbs hold for one object at a time: naming one object rules out all others.
            like = [id for id in sorted(tasks) if tasks[id].verb == found.verb and id not in (found.id, own.id)]
            if like:
                other = random.Random(f"{seed}/exclusion/{record.trajectory.id}").choice(like)
                examples.append(_judgement(record, tasks[other], NO, "exclusion"))
        for finding in record.first.findings:
            said = found is not None and task_key(finding.task.id) == task_key(found.id)
            # Skip verbs that no instruction of the round uses.
            if (
                not said
                and finding.task.verb in verbs
                and (record.trajectory.id, finding.task.id) not in doubted_findings
            ):
                examples.append(_judgement(record, finding.task, YES if finding.holds else NO, "finding"))
    return examples


def doubtful(records: Iterable[Record], share: float) -> set[str]:
    """The trajectories with the least confident verdicts: `share` of the successes and `share` of the failures."""
    return _least_sure(((r.first.success, r.first.confidence, r.trajectory.id) for r in records), share)


def _findings(records: Iterable[Record]) -> Iterator[tuple[bool, float | None, tuple[str, str]]]:
    for record in records:
        for finding in record.first.findings:
            yield finding.holds, finding.confidence, (record.trajectory.id, finding.task.id)


def _least_sure(said: Iterable[tuple[bool, float | None, Named]], share: float) -> set[Named]:
    """The names of the least confident `share` of the yes and of the no, each only if there are at least `FEW`."""
    least: set[Named] = set()
    known = sorted((confidence, name, yes) for yes, confidence, name in said if confidence is not None)
    for side in (True, False):
        names = [name for _, name, yes in known if yes is side]
        if len(names) >= FEW:
            least.update(names[: int(share * len(names))])
    return least


def accepted(record: Record, settings: Trainer, *, asked: bool) -> bool:
    """Whether the trajectory counts as a success of its own instruction.

    Without a tuned critic's verdict, the first verdict decides. With one, the tuned critic must say yes; with
    `trainer.accept` = "agree" the first verdict must be a success too, if self-asking is on (``asked``).
    """
    if settings.accept == "all":
        return True
    if record.rejudged is None:
        return record.first.success
    return record.rejudged.judged and (record.first.success or settings.accept == "critic" or not asked)


def relabelled(record: Record, settings: Trainer) -> Task | None:
    """The instruction under which a trajectory that was not accepted enters D_a, or None if it stays out."""
    task = hindsight(record)
    if task is None or settings.relabels not in ("direct", "pruned", "all"):
        return None
    if record.rejudged is not None and not (record.rejudged_relabel and record.rejudged_relabel.judged):
        return None
    if settings.relabels == "direct":
        steps = record.trajectory.steps
        if not steps or not _concerns(steps[0], task):
            return None
    return task


def _concerns(step: Step, task: Task) -> bool:
    return mentions(step.action, task.object)


def actor_examples(records: Iterable[Record], settings: Trainer, *, asked: bool) -> list[Example]:
    """One round's rows of D_a: the steps of each success, under the instruction that the trajectory fulfils."""
    examples: list[Example] = []
    for record in _ordered(records):
        if accepted(record, settings, asked=asked):
            taken = [(step, step.action) for step in record.trajectory.steps]
            examples += _rows(record, record.trajectory.task, taken, settings, "rollout")
        elif task := relabelled(record, settings):
            examples += _rows(record, task, _fulfilling(record, task, settings), settings, "hindsight")
    return examples


Taken = tuple[Step, str]
"""A step, and the action to learn for the step's frame."""


def _fulfilling(record: Record, task: Task, settings: Trainer) -> list[Taken]:
    """The part of a trajectory that fulfils its relabelled instruction.

    With `trainer.cut` it ends with the action that fulfilled the instruction, followed by "done" on the next frame if
    there is one. With `trainer.relabels` = "pruned" it begins with the first action that concerns the instruction's
    object.
    """
    taken = [(step, step.action) for step in record.trajectory.steps]
    act = record.relabel.act if record.relabel else None
    if settings.cut and act is not None:
        taken = taken[: act + 1] + [(step, DONE) for step, _ in taken[act + 1 : act + 2]]
    if settings.relabels == "pruned":
        first = next((at for at, (step, _) in enumerate(taken) if _concerns(step, task)), len(taken))
        taken = taken[first:]
    return taken


def _rows(record: Record, task: Task, taken: list[Taken], settings: Trainer, source: Source) -> list[Example]:
    """The actions as rows; each prompt shows the actions before it. With `trainer.prune`, actions that the world
    refused are left out, because they changed nothing."""
    trajectory = record.trajectory
    verdict = record.rejudged or record.first
    examples: list[Example] = []
    history: list[str] = []
    for step, action in taken:
        if settings.prune and step.error is not None and action == step.action:
            continue
        examples.append(
            Example(
                frame=step.frame,
                prompt=next_action(task.instruction, history, step.admissible),
                answer=action,
                trajectory=trajectory.id,
                round=trajectory.round,
                source=source,
                instruction=task.instruction,
                verb=task.verb,
                actor_version=trajectory.actor_version,
                critic_version=verdict.critic_version,
            )
        )
        history.append(action)
    return examples


def newest(rounds: Sequence[Sequence[Example]], limit: int) -> list[Example]:
    """Up to `limit` examples from the newest of these rounds (oldest round first), in the original order."""
    kept: list[Sequence[Example]] = []
    for examples in reversed(rounds):
        kept.append(examples[:limit])
        limit -= len(kept[-1])
    return [example for examples in reversed(kept) for example in examples]


def balanced(examples: Sequence[Example], *, seed: str) -> list[Example]:
    """A random selection with about as many "yes" as "no" (see `FLOOR`), in the original order."""
    places = {answer: [i for i, row in enumerate(examples) if row.answer == answer] for answer in (YES, NO)}
    rarer = min(len(found) for found in places.values())
    limit = int(SLACK * max(rarer, min(FLOOR, len(examples))))
    rng = random.Random(seed)
    return [
        examples[i] for i in sorted(i for found in places.values() for i in rng.sample(found, min(limit, len(found))))
    ]


def build_critic_set(rounds: Sequence[Sequence[Example]], settings: Trainer, *, seed: str) -> list[Example]:
    """D_c from the rounds' examples, oldest round first; the last round is the one being trained. Verdicts held back
    for comparing critics are excluded."""
    rounds = [[row for row in rows if not held_back(row.trajectory, settings.holdback)] for rows in rounds]
    examples = newest(rounds if settings.replay else rounds[-1:], settings.critic.max_rows)
    return balanced(examples, seed=seed) if settings.balance else examples


def build_actor_set(rounds: Sequence[Sequence[Example]], settings: Trainer) -> list[Example]:
    """D_a from the rounds' examples, oldest round first; the last round is the one being trained."""
    return evened(newest(rounds if settings.replay else rounds[-1:], settings.actor.max_rows), settings.rare)


def evened(examples: Sequence[Example], limit: int) -> list[Example]:
    """Oversamples rare verbs: repeats each row up to `limit` times, to approach the median verb's number of rows."""
    counts = Counter(row.verb for row in examples)
    middle = median(counts.values()) if counts else 0
    times = {verb: max(1, min(limit, round(middle / count))) for verb, count in counts.items()}
    return [row for row in examples for _ in range(times[row.verb])]


def dataset_bytes(rows: Iterable[Example]) -> bytes:
    """The set as JSON lines, the form in which it is stored and hashed."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def dataset_digest(rows: Iterable[Example]) -> Digest:
    """The digest of `dataset_bytes`, which is also the digest of the blob that holds the set."""
    return digest(dataset_bytes(rows))
