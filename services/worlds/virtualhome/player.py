"""A Unity player as a child process: starts it on a free port, waits until it listens, and kills it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from services.worlds.world import WorldError

KEEPER = Path(__file__).with_name("keeper.py")
KILL_SECONDS = 5.0
"""How long a killed player may take to exit."""
POLL_SECONDS = 0.05
TAIL = 300
"""How many characters of a dead player's log go into the error text."""


class Player:
    """A running player at ``port`` of this machine. Use `start_player` to create one."""

    def __init__(self, command: Sequence[str], display: str, more: Sequence[str] = ()) -> None:
        self.port = _free_port()
        self.scratch = Path(tempfile.mkdtemp(prefix="selu-virtualhome-"))
        self._log = self.scratch / "player.log"
        arguments = ("-batchmode", f"-http-port={self.port}", "-logFile", str(self._log), *more)
        environment = {**os.environ, **({"DISPLAY": display} if display else {})}
        with (self.scratch / "output.log").open("wb") as output:
            try:
                self._keeper = subprocess.Popen(
                    (sys.executable, "-I", "-S", str(KEEPER), *command, *arguments), start_new_session=True,
                    stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=self.scratch, env=environment,
                )  # fmt: skip
            except OSError as error:
                shutil.rmtree(self.scratch, ignore_errors=True)
                raise WorldError(f"cannot start the player {command[0]}: {error}") from error
        self._finish = weakref.finalize(self, _finish, self._keeper, self.scratch)

    @property
    def pid(self) -> int:
        """The process id of the keeper."""
        return self._keeper.pid

    @property
    def alive(self) -> bool:
        return self._keeper.poll() is None

    def listens(self) -> bool:
        """Whether the player, and not another program, listens on its port."""
        try:
            family = psutil.Process(self._keeper.pid).children(recursive=True)
        except psutil.Error:
            return False
        for process in family:
            with suppress(psutil.Error):
                for connection in process.net_connections(kind="tcp"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port:  # pyright: ignore[reportAttributeAccessIssue]
                        return True
        return False

    def last_words(self) -> str:
        """Returns how the player ended, or that it still runs, and the end of its log."""
        code = self._keeper.poll()
        ended = "it still runs" if code is None else f"exit code {code}"
        said = ""
        for file in (self._log, self.scratch / "output.log"):
            with suppress(OSError):
                said = said or file.read_text(encoding="utf-8", errors="replace").strip()[-TAIL:]
        return f"{ended}; it said: {said}" if said else ended

    def kill(self) -> None:
        """Ends the player and its children, and removes its folder."""
        self._finish()


def _finish(keeper: "subprocess.Popen[bytes]", scratch: Path) -> None:
    if keeper.stdin is not None:
        with suppress(OSError):
            keeper.stdin.close()
    try:
        keeper.wait(timeout=KILL_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()  # the player dies with it
        keeper.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def start_player(
    command: Sequence[str],
    *,
    display: str,
    seconds: float,
    tries: int,
    answers: Callable[[int, float], bool],
    more: Sequence[str] = (),
) -> Player:
    """Starts a player and returns it when it answers.

    ``answers(port, seconds)`` sends it one request. ``seconds`` limits each try; ``more`` are further arguments of its
    command.

    Raises:
        WorldError: no try started a player; the text says how the last one ended.
    """
    cause = ""
    for _ in range(tries):
        player = Player(command, display, more)
        until = time.monotonic() + seconds
        try:
            while player.alive and (left := until - time.monotonic()) > 0:
                if player.listens() and answers(player.port, left):
                    return player
                time.sleep(POLL_SECONDS)
            late = f"gave no answer within {seconds:g} s" if player.alive else "ended while starting"
            cause = f"the player {late} ({player.last_words()})"
        except BaseException:
            player.kill()
            raise
        player.kill()
    raise WorldError(cause if tries == 1 else f"{cause}, {tries} times over")


def _free_port() -> int:
    """Returns a port on which nothing listens. If another program takes it first, the player does not listen, and
    the next try takes another port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
