"""Compares names in any spelling, and suggests names for a misspelt one."""

import difflib
import re
from collections.abc import Iterable

_GAP = re.compile(r"[\s_-]+")
_NUMBERED = re.compile(r"(?P<kind>.*[^\s_\-\d])[\s_-]+\d+")


def spelled(name: str) -> str:
    """What all spellings of a name have in common: "TV stand", "tv_stand" and "TVStand" give "tvstand"."""
    return _GAP.sub("", name.lower())


def spaced(name: str) -> str:
    """A name in lower case with single spaces between its words: "tv_stand" gives "tv stand"."""
    return " ".join(_GAP.sub(" ", name.lower()).split())


def kind_of(name: str) -> str:
    """What a thing is, without the number that tells it from its like: "coffee_table 2" gives "coffee table"."""
    found = _NUMBERED.fullmatch(name)
    return spaced(found["kind"] if found else name)


def mentions(text: str, name: str) -> bool:
    """Whether a text has the name among its words, however either is written."""
    wanted, words = spelled(name), _GAP.sub(" ", text.lower()).split()
    if not wanted:
        return False
    for first in range(len(words)):
        said = ""
        for word in words[first:]:
            said += word
            if said == wanted:
                return True
            if not wanted.startswith(said):
                break
    return False


def task_key(id: str) -> str:
    """What the ids of one task have in common, however its object and target are written."""
    return ":".join(map(spelled, id.split(":")))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Up to three known names that are close to this one, as the end of a sentence; empty where none is."""
    names = {spelled(one): one for one in known}
    wanted = spelled(name)
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.7)
    if not near and len(wanted) > 2:
        near = sorted(one for one in names if wanted in one or (len(one) > 2 and one in wanted))[:3]
    return f" (did you mean {' or '.join(names[one] for one in near)}?)" if near else ""
