"""The critic's prompts: judging a last frame, and the questions it asks itself about object states (paper 4.2)."""

from typing import NamedTuple

from protocols.messages import Task
from services.worlds.verbs import VERBS

YES, NO = "yes", "no"
HAND = "hand"
"""Where a thing is that the robot holds."""


def judge(instruction: str) -> str:
    return f"Task: {instruction}. Is the task done?"


def self_ask(task: Task) -> tuple[str, str]:
    """The question about the task's own object, and the answer that means its goal state holds."""
    verb = VERBS[task.verb]
    if verb.which:
        return verb.which, task.object
    if verb.state:
        return f"Is the {task.object} {verb.state}?", YES
    return f"Where is the {task.object}?", task.target or ""


class CrossCheck(NamedTuple):
    """A second question about the same state. ``denies``: the ``expected`` answer means that the goal does not hold."""

    text: str
    expected: str
    denies: bool


def cross_check(task: Task) -> CrossCheck | None:
    """The same state asked about the other way around, so that two answers must agree; None where there is none.

    What is picked up is in the hand; what is open is what is named as open; what is put somewhere is not held.
    """
    verb = VERBS[task.verb]
    if verb.name == "pick":
        return CrossCheck(f"Where is the {task.object}?", HAND, False)
    if verb.placed:
        return CrossCheck(VERBS["pick"].which or "", task.object, True)
    if verb.state:
        return CrossCheck(f"Which object is {verb.state}?", task.object, False)
    return None
