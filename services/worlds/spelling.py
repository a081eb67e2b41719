"""Compares names regardless of spelling, and suggests names for a misspelt one."""

import difflib
import re
from collections.abc import Iterable

_GAP = re.compile(r"[\s_-]+")
_NUMBERED = re.compile(r"(?P<kind>.*[^\s_\-\d])[\s_-]+\d+")


def spelled(name: str) -> str:
    """Returns the normal form of a name's spellings: "TV stand", "tv_stand" and "TVStand" give "tvstand"."""
    return _GAP.sub("", name.lower())


def spaced(name: str) -> str:
    """Returns a name in lower case with single spaces between words: "tv_stand" gives "tv stand"."""
    return " ".join(_GAP.sub(" ", name.lower()).split())


def kind_of(name: str) -> str:
    """Returns an object's kind, without its number: "coffee_table 2" gives "coffee table"."""
    found = _NUMBERED.fullmatch(name)
    return spaced(found["kind"] if found else name)


def mentions(text: str, name: str) -> bool:
    """Whether a text contains the name as whole words, regardless of spelling."""
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
    """Returns a key that is the same for all spellings of a task id's object and target."""
    return ":".join(map(spelled, id.split(":")))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a suggestion of up to three similar known names, to append to a sentence; empty if there is none."""
    names = {spelled(one): one for one in known}
    wanted = spelled(name)
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.7)
    if not near and len(wanted) > 2:
        near = sorted(one for one in names if wanted in one or (len(one) > 2 and one in wanted))[:3]
    return f" (did you mean {' or '.join(names[one] for one in near)}?)" if near else ""
