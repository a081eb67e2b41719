"""Action texts, read and written: "find apple", "pick up apple", "put apple in fridge", "done"."""

import re

import msgspec

DONE = "done"
"""The actor's own end of the episode."""

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
"""How each act is said. ``on`` and ``off`` are the two acts of the verb "toggle"."""

_WORDS = re.compile(
    r"(?P<phrase>{}) (?:the |a |an )?(?P<object>\w+)(?: (?:in|into|on|onto) (?:the |a |an )?(?P<target>\w+))?".format(
        "|".join(PHRASES.values())
    )
)
_ACTS = {phrase: act for act, phrase in PHRASES.items()}


class Action(msgspec.Struct, frozen=True):
    """An act on an object; ``target`` is where it is put, for "put" only."""

    act: str
    object: str
    target: str | None = None


def parse_action(text: str) -> Action | None:
    """The action a text names, articles and case aside, or None where it names none. "done" is no action."""
    found = _WORDS.fullmatch(" ".join(text.lower().rstrip(" .!").split()))
    if found is None or (found["phrase"] == "put") != (found["target"] is not None):
        return None
    return Action(_ACTS[found["phrase"]], found["object"], found["target"])
