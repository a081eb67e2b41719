"""The critic's prompts: judging a last frame, and self-asking about object states (paper section 4.2)."""

from typing import NamedTuple

from protocols.messages import Task
from services.worlds.phrasings import PLAIN, closed, where, which
from services.worlds.verbs import VERBS

YES, NO = "yes", "no"
HAND = "hand"
"""The answer that locates an object which the robot holds."""


def judge(instruction: str) -> str:
    return f"Task: {instruction}. Is the task done?"


def self_ask(task: Task, phrasing: str = PLAIN) -> tuple[str, str]:
    """The question about the task's own object, and the answer that means its goal state holds."""
    verb = VERBS[task.verb]
    if verb.which:
        return which(verb.name, phrasing), task.object
    if verb.state:
        return closed(verb.name, task.object, phrasing), YES
    return where(task.object, phrasing), task.target or ""


class CrossCheck(NamedTuple):
    """A second question about the same state. ``denies``: the ``expected`` answer means that the goal does not hold."""

    text: str
    expected: str
    denies: bool


def cross_check(task: Task, phrasing: str = PLAIN) -> CrossCheck | None:
    """A second question about the same state from the other side; the two answers must agree. None if there is none.

    A picked object must be located in the hand. An object in a state, such as open, must be the answer to which object
    is in that state. A placed object must not be the answer to which object is held.
    """
    verb = VERBS[task.verb]
    if verb.name == "pick":
        return CrossCheck(where(task.object, phrasing), HAND, False)
    if verb.placed:
        return CrossCheck(which("pick", phrasing), task.object, True)
    if verb.state:
        return CrossCheck(which(verb.name, phrasing), task.object, False)
    return None
