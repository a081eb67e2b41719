"""Parses and formats action texts: "find apple", "pick up apple", "put apple in fridge", "done"."""

import re

import msgspec

DONE = "done"
"""The action with which the actor ends an episode."""

PHRASES = {
    "find": "find",
    "pick": "pick up",
    "put": "put",
    "drop": "drop",
    "open": "open",
    "close": "close",
    "break": "break",
    "slice": "slice",
    "on": "turn on",
    "off": "turn off",
    "sit": "sit on",
}
"""The phrase of each act. ``on`` and ``off`` are the two acts of the verb "toggle"."""

_WORDS = re.compile(
    r"(?P<phrase>{}) (?:the |a |an )?(?P<object>\w+)(?: (?:in|into|on|onto) (?:the |a |an )?(?P<target>\w+))?".format(
        "|".join(PHRASES.values())
    )
)
_ACTS = {phrase: act for act, phrase in PHRASES.items()}


class Action(msgspec.Struct, frozen=True):
    """An act on an object; ``target`` is the receptacle, for "put" only."""

    act: str
    object: str
    target: str | None = None


def parse_action(text: str) -> Action | None:
    """Parses an action text, ignoring articles and case; None if it is not an action. "done" is not one."""
    found = _WORDS.fullmatch(" ".join(text.lower().rstrip(" .!").split()))
    if found is None or (found["phrase"] == "put") != (found["target"] is not None):
        return None
    return Action(_ACTS[found["phrase"]], found["object"], found["target"])
