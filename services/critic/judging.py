"""One trajectory before the critic: judging its last frame and self-asking about it, as values (paper section 4.2)."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from protocols.messages import Digest, Finding, Question, Task, Trajectory, Verdict
from services.critic.prompts import NO, YES, cross_check, judge, self_ask
from services.models.engine import Generation, Request
from services.settings import Critic
from services.worlds.instructions import carried_out, normal
from services.worlds.spelling import mentions, task_key

CHOICES = (YES, NO)
SURE = 12.0
"""Nats: no answer counts as surer than this."""
FINDINGS = 8
"""Of longer trajectories the last so many instructions that their actions carry out are looked into."""

Subject = Literal["task", "relabel"]
"""Which instruction a verdict is about: the trajectory's own, or the one that hindsight gave it."""


class Judgement(msgspec.Struct, frozen=True):
    """The critic's own yes or no. ``log_odds`` is log p(yes) - log p(no) in nats, as far as the engine tells."""

    yes: bool
    log_odds: float


def judging_request(task: Task, frame: Digest, image: bytes, version: int) -> Request:
    return Request(prompt=judge(task.instruction), image=image, image_id=frame, version=version, choices=CHOICES)


def read_judgement(said: Generation) -> Judgement:
    """Where an engine has no log-odds, its word counts, with odds of e to 1."""
    if said.log_odds is None:
        yes = normal(said.text) == YES
        return Judgement(yes, 1.0 if yes else -1.0)
    return Judgement(said.log_odds > 0, said.log_odds)


def asks(judgement: Judgement, settings: Critic) -> bool:
    """Whether the verdict is to be questioned: never, after a no (the paper), or always."""
    return settings.self_ask == "confirm" or (settings.self_ask == "paper" and not judgement.yes)


def also_asks(trajectory: Trajectory, settings: Critic) -> list[Task]:
    """The other instructions to be looked into: those that the trajectory's own actions carry out, if all went well."""
    if not settings.findings or settings.self_ask == "off":
        return []
    tasks = [item.task for item in carried_out([step.action for step in trajectory.steps])]
    own = task_key(trajectory.task.id)
    return [task for task in tasks if task_key(task.id) != own][-FINDINGS:]


class Inquiry(msgspec.Struct, frozen=True):
    """A question about the state of a task's object, and the answer that means its goal holds (or, where it
    ``denies``, does not)."""

    request: Request
    expected: str
    denies: bool = False


def inquiries(task: Task, frame: Digest, image: bytes, version: int, settings: Critic) -> list[Inquiry]:
    """What to ask about the state of the task's object: one question, or two that must not contradict each other."""
    asked = [(*self_ask(task, settings.phrasing), False)]
    if settings.questions > 1 and (other := cross_check(task, settings.phrasing)):
        asked.append(other)
    return [
        Inquiry(
            Request(
                prompt=text,
                image=image,
                image_id=frame,
                version=version,
                choices=CHOICES if expected == YES else (),
            ),
            expected,
            denies,
        )
        for text, expected, denies in asked
    ]


def read_answer(inquiry: Inquiry, said: Generation) -> Question:
    """Where an engine tells no probabilities, its words count, with odds of e to 1."""
    answer, log_odds = normal(said.text), said.log_odds
    if log_odds is None:
        sure = 1.0 if said.log_prob is None else _log_odds(said.log_prob)
        # What is known is how likely the given answer is; another answer than the expected one speaks against it.
        log_odds = sure if _says(answer, inquiry.expected) else -abs(sure)
    return Question(
        text=inquiry.request.prompt,
        answer=answer,
        frame=inquiry.request.image_id,
        version=said.version,
        expected=inquiry.expected,
        log_odds=log_odds,
        denies=inquiry.denies,
    )


def _says(answer: str, expected: str) -> bool:
    """Whether the expected words are in the answer: larger models answer in sentences."""
    return mentions(answer, expected)


def _log_odds(log_prob: float) -> float:
    """Of an answer with this log-probability, at most `SURE` nats either way."""
    probability = math.exp(min(log_prob, 0.0))
    return SURE if probability >= 1 else max(-SURE, min(SURE, math.log(max(probability, 1e-9) / (1 - probability))))


def settle(judgement: Judgement, questions: Sequence[Question]) -> Judgement:
    """What stands after self-asking, and how surely: the answers' mean where any were asked, else the judgement.

    An answer that denies the goal outright, with more certainty than that, decides alone.
    """
    if not questions:
        return judgement
    odds = [(question.denies, question.log_odds or 0.0) for question in questions]
    speaking_for = [value for denies, value in odds if not denies]
    denying = [-value for denies, value in odds if denies and value > 0]
    log_odds = min([sum(speaking_for) / len(speaking_for), *denying])
    return Judgement(log_odds > 0, log_odds)


def finding(task: Task, questions: Sequence[Question]) -> Finding:
    """Whether the answers say that an instruction's goal holds, and how surely."""
    odds = settle(Judgement(False, 0.0), questions).log_odds
    return Finding(task=task, holds=odds > 0, confidence=abs(odds), questions=tuple(questions))


def verdict(
    trajectory: Trajectory,
    judgement: Judgement,
    *,
    version: int,
    questions: Sequence[Question] = (),
    findings: Sequence[Finding] = (),
    task: Task | None = None,
    subject: Subject = "task",
) -> Verdict:
    """The critic's judgement, and what stands after self-asking (`settle`)."""
    assert trajectory.final_frame is not None, "truncated trajectories are never judged"
    stands = settle(judgement, questions)
    return Verdict(
        trajectory=trajectory.id,
        round=trajectory.round,
        task=task or trajectory.task,
        subject=subject,
        frame=trajectory.final_frame,
        judged=judgement.yes,
        log_odds=judgement.log_odds,
        success=stands.yes,
        confidence=abs(stands.log_odds),
        questions=tuple(questions),
        findings=tuple(findings),
        critic_version=version,
    )
