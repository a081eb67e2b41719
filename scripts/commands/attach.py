"""Prints the messages of a topic: from the first one, from an offset, or from now on.

Without --run or --connect it takes the newest run under runs/. If the run has ended, it prints the logged messages.
protocols/topics.py lists the topics and their messages; so does the error for an unknown topic.
A run that accepts other machines requires a key; on the run's own machine --run finds one.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.numbers import LARGEST, whole_number
from scripts.output import causes, complain, say

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

    from runtime.keys import Key
    from runtime.mesh import Mesh
    from runtime.runfolder import RunFolder
    from runtime.streams import Delivery

HELP = "print what is said on a topic, while it is said or afterwards"

ROLE = "observer"
"""The mesh role of a reader without a key. It may read the topics that are open to all."""
CONNECT_SECONDS = 5.0
WATCH_SECONDS, GONE_SECONDS = 1.0, 5.0
"""Interval between checks of the hub, and time without an answer after which the hub counts as gone."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help="for example verdicts, rounds, evaluations, steps, health")
    parser.add_argument(
        "--from", dest="start", default="now", metavar="start|now|OFFSET", help="where to begin (default: now)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--run", type=path_type, metavar="DIR", help="the run's folder")
    where.add_argument("--connect", metavar="ENDPOINT", help="the hub's endpoint, e.g. tcp://127.0.0.1:5555")
    parser.add_argument("--key", type=path_type, metavar="FILE", help="the key to join with (see selu keys)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--count", type=whole_number(0, LARGEST), metavar="N", help="end after N messages")


def run(given: argparse.Namespace) -> int:
    import anyio

    from protocols.errors import ProtocolError
    from protocols.topics import may, topic
    from runtime.endpoints import EndpointError, resolve, to_connect
    from runtime.keys import KeysError, read_key
    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from scripts.launch.speak import as_json, as_text

    write = as_json if given.json else as_text
    tell = _Counted(lambda found: say(write(found)), given.count)
    try:
        start = given.start if given.start in ("start", "now") else whole_number(0, LARGEST)(given.start)
    except argparse.ArgumentTypeError as error:
        return _refuse(f"--from {given.start!r} is not start, now or an offset: {error}")
    try:
        declared = topic(given.topic)
        key = read_key(given.key) if given.key else None
        if not may(key.role if key else ROLE, declared.readers):
            readers = ", ".join(sorted(declared.readers))
            return _refuse(f"{given.topic} may be read by {readers} only: what it tells must not reach learning")
        if given.connect is not None:
            resolve(to_connect(given.connect))
        folder = RunFolder.open(given.run or newest()) if given.connect is None else None
        # The lock shows whether the run is up: a killed launcher leaves its endpoints file behind.
        if folder is not None and not (folder.in_use() and folder.endpoints_file.exists()):
            return _past(folder, given.topic, start, tell)
        if key is None and folder is not None and folder.key_of(ROLE).exists():
            key = read_key(folder.key_of(ROLE))
        endpoint = given.connect or (folder.endpoint if folder else "")
        return anyio.run(_follow, endpoint, key, given.topic, declared.durable, start, tell)
    except Exception as error:
        cause = next(causes(error))
        if isinstance(cause, RunFolderError | LogFormatError | KeysError | EndpointError):
            return _refuse(str(cause))
        if not isinstance(cause, ProtocolError):
            raise
        complain(str(cause))
        return 2 if cause.code in ("unknown_topic", "forbidden", "not_admitted") else 1


def newest() -> Path:
    """The most recently created run folder under runs/.

    Raises:
        RunFolderError: there is none.
    """
    from runtime.runfolder import RunFolderError

    found = sorted(Path("runs").glob("*/format"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise RunFolderError("no run under runs/: give --run or --connect")
    return found[-1].parent


class _Counted:
    """Calls `say` for at most `count` messages. Returns true when `count` is reached."""

    def __init__(self, say: "Callable[[Delivery], object]", count: int | None) -> None:
        self._say = say
        self._left = count

    def __call__(self, delivery: "Delivery") -> bool:
        if self._left == 0:
            return True
        self._say(delivery)
        if self._left is not None:
            self._left -= 1
        return self._left == 0


def _past(folder: "RunFolder", topic: str, start: int | str, tell: _Counted) -> int:
    from services.report.load import deliveries

    if start == "now":
        complain(f"{folder.path} is not running: use --from start to see what is logged")
        return 1
    after = 0 if start == "start" else max(0, int(start) - 1)
    for delivery in deliveries(folder, (topic,), after=after):
        if tell(delivery):
            break
    return 0


async def _follow(endpoint: str, key: "Key | None", topic: str, durable: bool, start: int | str, tell: _Counted) -> int:
    """Prints until the count is reached or the hub is gone."""
    import os

    import anyio

    from runtime.mesh import connect

    role, name = (key.role, f"{key.name}/{os.getpid()}") if key else (ROLE, f"{ROLE}-{os.getpid()}")
    async with (
        connect(endpoint, role=role, instance=name, key=key, timeout=CONNECT_SECONDS) as mesh,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_end_with_the_hub, mesh, tasks.cancel_scope)
        place = start if isinstance(start, int) else "start" if start == "start" else "now"
        async with mesh.subscribe(topic, start=place) if durable else mesh.listen(topic) as stream:
            async for delivery in stream:
                if tell(delivery):
                    break
        tasks.cancel_scope.cancel()
    return 0


async def _end_with_the_hub(mesh: "Mesh", scope: "anyio.CancelScope") -> None:
    """Cancels the scope when the hub is gone. A killed hub is restarted within seconds, long before `GONE_SECONDS`."""
    import anyio

    from protocols.errors import DeadlineExceeded

    while True:
        await anyio.sleep(WATCH_SECONDS)
        try:
            await mesh.status(timeout=GONE_SECONDS)
        except DeadlineExceeded:
            complain("the run has ended")
            scope.cancel()
            return


def _refuse(reason: str) -> int:
    complain(reason)
    return 2
