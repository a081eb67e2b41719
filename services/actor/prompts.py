"""The actor's prompt (paper section 4.1: instruction, planning prompt, first-person view)."""

from collections.abc import Sequence

HISTORY = 6
"""Number of recent actions that the prompt shows."""


def next_action(instruction: str, history: Sequence[str], admissible: Sequence[str] = ()) -> str:
    done = ", ".join(history[-HISTORY:]) or "nothing"
    options = f" You can: {'; '.join(admissible)}." if admissible else ""
    return f"Task: {instruction}. Done so far: {done}.{options} Next action?"
