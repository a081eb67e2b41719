"""One trajectory before the critic: judging its last frame and self-asking about it, as values (paper section 4.2)."""

from typing import Literal

import msgspec

from protocols.messages import Digest, Question, Task, Trajectory, Verdict
from services.critic.prompts import NO, YES, judge, self_ask
from services.models.engine import Generation, Request
from services.settings import Critic

CHOICES = (YES, NO)

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


def question_request(task: Task, frame: Digest, image: bytes, version: int) -> tuple[Request, str]:
    """The question about the state of the task's object, and the answer that means its goal holds."""
    text, expected = self_ask(task)
    choices = CHOICES if expected == YES else ()
    return Request(prompt=text, image=image, image_id=frame, version=version, choices=choices), expected


def read_answer(request: Request, expected: str, said: Generation) -> Question:
    return Question(
        text=request.prompt,
        answer=normal(said.text),
        frame=request.image_id,
        version=said.version,
        expected=expected,
        log_odds=said.log_odds,
    )


def verdict(
    trajectory: Trajectory,
    judgement: Judgement,
    *,
    version: int,
    question: Question | None = None,
    task: Task | None = None,
    subject: Subject = "task",
) -> Verdict:
    """What stands after self-asking: the question's answer where one was asked, else the judgement itself."""
    assert trajectory.final_frame is not None, "truncated trajectories are never judged"
    return Verdict(
        trajectory=trajectory.id,
        round=trajectory.round,
        task=task or trajectory.task,
        subject=subject,
        frame=trajectory.final_frame,
        judged=judgement.yes,
        log_odds=judgement.log_odds,
        success=judgement.yes if question is None else question.holds,
        questions=() if question is None else (question,),
        critic_version=version,
    )


def normal(text: str) -> str:
    """An answer in lower case, with single spaces and without closing punctuation."""
    return " ".join(text.lower().split()).rstrip(" .!")
