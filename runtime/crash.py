"""Points at which a process can be told to kill itself, so that tests see what survives a death exactly there.

``SELU_CRASH=critic/publish.verdicts.after:3`` kills the critic (SIGKILL) when it comes to that point for the third
time; commas separate several. Every life of the process does so, unless ``SELU_CRASH_ONCE`` names a folder: there each
death leaves a file of its name, and is not died again. Without the variable a point costs one look at an empty
dictionary.
"""

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path

from runtime.settings import SettingsError

POINTS = {
    "publish.TOPIC.before": "a message is made, and not sent",
    "publish.TOPIC.after": "the hub has acknowledged it",
    "acknowledge.TOPIC.before": "a group's message is handled, and the hub not told",
    "acknowledge.TOPIC.after": "the hub has acknowledged that",
    "answer.METHOD.before": "a call has come",
    "answer.METHOD.after": "its answer is made, and not sent",
    "blob.half": "a blob is written, and not yet under its name",
    "blob.after": "a blob is on disk, and nothing names it",
    "adapter.half": "an adapter's files are written, and its folder not yet under its name",
    "adapter.after": "an adapter's folder is whole, and no engine has it",
    "swap.before": "an adapter is announced, and not loaded",
    "swap.loaded": "it is loaded and has answered, and nobody knows",
    "train.before": "a training's rows are on disk",
    "train.after": "it is trained, and nothing of it kept",
    "judgement.before": "an episode of the judgement set is played, and not kept",
    "judgement.after": "it is kept",
    "commit.before": "the hub has messages in hand",
    "commit.half": "they are in the log's transaction, which is open",
    "commit.after": "they are on disk, and nobody was told",
    "commit.told": "their publishers were told",
    "lease.after": "messages are leased to a member, which has not got them",
}
"""Where a process may be told to die, and how things stand there."""

_SPEC = re.compile(r"(?P<role>\w+)/(?P<point>[\w.]+)(:(?P<count>[1-9]\d*))?")
_KNOWN = re.compile("|".join(re.escape(p).replace("TOPIC", "[a-z]+").replace("METHOD", "[a-z]+") for p in POINTS))

_left: dict[str, int] = {}
_marks: dict[str, Path] = {}


def arm(role: str, environ: Mapping[str, str] = os.environ) -> None:
    """Takes what the environment says about this role's deaths.

    Raises:
        SettingsError: it names what is no such point.
    """
    once = environ.get("SELU_CRASH_ONCE")
    for text in filter(None, environ.get("SELU_CRASH", "").split(",")):
        spec = _SPEC.fullmatch(text)
        if spec is None or not _KNOWN.fullmatch(spec["point"]):
            raise SettingsError(f"SELU_CRASH: {text!r} is no role/point[:count]; the points are {', '.join(POINTS)}")
        mark = Path(once) / text.replace("/", "-") if once else None
        if spec["role"] == role and not (mark and mark.exists()):
            _left[spec["point"]] = int(spec["count"] or 1)
            if mark:
                _marks[spec["point"]] = mark


def at(*name: str) -> None:
    """Ends this process here, if it was told to. ``name`` is the point's, in parts."""
    if _left:
        _come_to(".".join(name))


def _come_to(point: str) -> None:
    if point not in _left:
        return
    _left[point] -= 1
    if not _left[point]:
        if mark := _marks.get(point):
            mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
