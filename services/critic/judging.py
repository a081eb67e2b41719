"""Judging a trajectory's last frame and self-asking about it, as pure functions (paper section 4.2)."""

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
"""Upper bound of an answer's log-odds, in nats."""
FINDINGS = 8
"""Most other instructions to ask about for one trajectory; the last ones that its actions carry out are taken."""

Subject = Literal["task", "relabel"]
"""The instruction that a verdict is about: "task" is the trajectory's own, "relabel" the one from hindsight."""


class Judgement(msgspec.Struct, frozen=True):
    """The critic's own yes or no. ``log_odds`` is log p(yes) - log p(no) in nats, as reported by the engine."""

    yes: bool
    log_odds: float


def judging_request(task: Task, frame: Digest, image: bytes, version: int) -> Request:
    return Request(prompt=judge(task.instruction), image=image, image_id=frame, version=version, choices=CHOICES)


def read_judgement(said: Generation) -> Judgement:
    """Reads the engine's answer. Without log-odds from the engine, the text decides, with log-odds of +-1."""
    if said.log_odds is None:
        yes = normal(said.text) == YES
        return Judgement(yes, 1.0 if yes else -1.0)
    return Judgement(said.log_odds > 0, said.log_odds)


def asks(judgement: Judgement, settings: Critic) -> bool:
    """Whether self-asking follows this judgement, by `critic.self_ask`: never, after a no (the paper), or always."""
    return settings.self_ask == "confirm" or (settings.self_ask == "paper" and not judgement.yes)


def also_asks(trajectory: Trajectory, settings: Critic) -> list[Task]:
    """The other instructions to ask about: those that the trajectory's own actions carry out, if they succeeded."""
    if not settings.findings or settings.self_ask == "off":
        return []
    tasks = [item.task for item in carried_out([step.action for step in trajectory.steps])]
    own = task_key(trajectory.task.id)
    return [task for task in tasks if task_key(task.id) != own][-FINDINGS:]


class Inquiry(msgspec.Struct, frozen=True):
    """A question about the state of a task's object. The answer ``expected`` means that the task's goal holds, or, if
    ``denies`` is true, that it does not hold."""

    request: Request
    expected: str
    denies: bool = False


def inquiries(task: Task, frame: Digest, image: bytes, version: int, settings: Critic) -> list[Inquiry]:
    """The questions about the task's object: one, or two that must not contradict each other (`critic.questions`)."""
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
    """Reads the answer to a question. Without probabilities from the engine, the text decides, with log-odds of +-1."""
    answer, log_odds = normal(said.text), said.log_odds
    if log_odds is None:
        sure = 1.0 if said.log_prob is None else _log_odds(said.log_prob)
        # Only the given answer's probability is known. An answer other than the expected one counts against it.
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
    """Whether the answer contains the expected words. Larger models answer in sentences."""
    return mentions(answer, expected)


def _log_odds(log_prob: float) -> float:
    """The log-odds of an answer with this log-probability, at most `SURE` nats either way."""
    probability = math.exp(min(log_prob, 0.0))
    return SURE if probability >= 1 else max(-SURE, min(SURE, math.log(max(probability, 1e-9) / (1 - probability))))


def settle(judgement: Judgement, questions: Sequence[Question]) -> Judgement:
    """The judgement after self-asking: the mean log-odds of the answers, or the critic's own if nothing was asked.

    If an answer to a question that ``denies`` the goal is more certain than this mean, it decides alone.
    """
    if not questions:
        return judgement
    odds = [(question.denies, question.log_odds or 0.0) for question in questions]
    speaking_for = [value for denies, value in odds if not denies]
    denying = [-value for denies, value in odds if denies and value > 0]
    log_odds = min([sum(speaking_for) / len(speaking_for), *denying])
    return Judgement(log_odds > 0, log_odds)


def finding(task: Task, questions: Sequence[Question]) -> Finding:
    """The verdict of the answers on whether an instruction's goal holds, with its confidence."""
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
    """The message with the critic's own judgement and the result of self-asking (`settle`)."""
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
