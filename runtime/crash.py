"""Failpoints: named places at which a process can be made to kill itself, for tests of crash recovery.

``SELU_CRASH=critic/publish.verdicts.after:3`` kills the critic (SIGKILL) when it reaches that point for the third time.
Commas separate several failpoints. A restarted process dies there again, unless ``SELU_CRASH_ONCE`` names a folder:
then each failpoint fires once, and a marker file in the folder records it. Without the variable, a failpoint costs one
check of an empty dictionary.
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
"""The failpoints, each with the state of the system at that point."""

_SPEC = re.compile(r"(?P<role>\w+)/(?P<point>[\w.]+)(:(?P<count>[1-9]\d*))?")
_KNOWN = re.compile("|".join(re.escape(p).replace("TOPIC", "[a-z]+").replace("METHOD", "[a-z]+") for p in POINTS))

_left: dict[str, int] = {}
_marks: dict[str, Path] = {}


def arm(role: str, environ: Mapping[str, str] = os.environ) -> None:
    """Reads the failpoints of this role from the environment.

    Raises:
        SettingsError: the variable names an unknown failpoint.
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
    """Kills this process if this failpoint is armed and its count is reached. ``name`` is its name, in parts."""
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
