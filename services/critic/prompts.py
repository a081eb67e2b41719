"""The critic's prompts: judging a last frame, and the questions it asks itself about object states (paper 4.2)."""

from protocols.messages import Task
from services.worlds.verbs import VERBS

YES, NO = "yes", "no"


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
