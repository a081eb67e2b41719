"""Runs a blocking simulator in its own process. Every call has a deadline, and a simulator that misses it is killed.

The process leads a process group with everything that the simulator starts (e.g. a Unity player). It ends when its
world is closed, when a call fails or times out, and when the parent process dies for any reason. POSIX only, because it
inherits descriptors and leads a process group.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from protocols.messages import Task
from runtime.child import environment
from services.worlds import process_wire as wire
from services.worlds.process_frames import PLACES, SharedFrames, nameless
from services.worlds.world import Frame, Observation, Truth, WorldError

TERM_SECONDS = 3.0
"""How long a simulator may take to exit after it was asked to, in seconds."""

R = TypeVar("R", bound=wire.Reply)


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """The time limits of calls, in seconds. ``start`` covers making the simulator, at its first reset."""

    start: float = 180.0
    reset: float = 60.0
    step: float = 30.0

    @property
    def longest(self) -> float:
        """The longest time that one call of a `ProcessWorld` takes, including killing the simulator."""
        return self.start + max(self.reset, self.step) + 2 * TERM_SECONDS


class ProcessWorld:
    """A `World` whose simulator runs in another process, made by ``target`` ("module:factory") with ``options``.

    The process starts at the first `reset`, and again at the first `reset` after a failure. All methods raise
    `WorldError` if the simulator failed, crashed or missed its deadline. They raise ValueError and RuntimeError if the
    world refuses the call; it keeps running then. `kill` may be called from any thread, even during a call.
    """

    def __init__(self, name: str, target: str, options: dict[str, Any], deadlines: Deadlines) -> None:
        self.name = name
        self.deadlines = deadlines
        self._target, self._options = target, options
        self._lock = threading.Lock()
        self._living: _Living | None = None
        self._killed = False

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        living = self._living or self._start()
        request = wire.Reset(task=task, seed=seed, place=living.frames.place)
        said = self._call(living, request, wire.Begun, self.deadlines.reset)
        return said.task, self._seen(living, request, said.seen)

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        living = self._running()
        request = wire.Step(action=action, place=living.frames.place)
        said = self._call(living, request, wire.Stepped, self.deadlines.step)
        return self._seen(living, request, said.seen), said.terminated, said.truncated

    def third_person(self) -> Frame:
        living = self._running()
        request = wire.View(place=living.frames.place)
        return self._frame(living, request, self._call(living, request, wire.Viewed, self.deadlines.step))

    def truth(self) -> Truth:
        return self._call(self._running(), wire.Know(), wire.Known, self.deadlines.step).truth

    def close(self) -> None:
        """Ends the simulator. The world can be reset again afterwards."""
        if self._living is not None:
            with suppress(WorldError):
                self._call(self._living, wire.Close(), wire.Closed, TERM_SECONDS)
        self._end()

    def kill(self) -> None:
        """Ends the simulator at once. The world cannot be used again."""
        with self._lock:
            self._killed = True
        self._end()

    @property
    def pid(self) -> int | None:
        """The simulator's process id, which is also its process group; None if none is running."""
        return self._living.process.pid if self._living else None

    def _start(self) -> "_Living":
        with self._lock:  # excludes a concurrent kill, which would not see the new process
            if self._killed:
                raise WorldError(f"{self.name} was given up")
            self._living = _Living(self.name)
        self._call(self._living, wire.Make(self._target, self._options), wire.Made, self.deadlines.start)
        return self._living

    def _running(self) -> "_Living":
        if self._living is None:
            raise WorldError(f"{self.name} has no simulator running: it failed or was never reset")
        return self._living

    def _call(self, living: "_Living", request: wire.Request, expected: type[R], seconds: float) -> R:
        what = type(request).__name__.lower()
        try:
            living.channel.send(request, until := time.monotonic() + seconds)
            said = living.channel.receive(until)
        except TimeoutError:
            self._end()
            raise WorldError(f"{self.name} did not {what} within {seconds:g} s and was killed") from None
        except (OSError, EOFError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            code = self._end()
            raise WorldError(f"the process of {self.name} ended during {what} ({_ending(code)})") from error
        if isinstance(said, wire.Refused):
            raise {"ValueError": ValueError, "RuntimeError": RuntimeError}[said.kind](said.text)
        if not isinstance(said, expected):
            self._end()
            raise WorldError(said.text if isinstance(said, wire.Failed) else f"{self.name} answered {what} with {said}")
        return said

    def _seen(self, living: "_Living", request: wire.Look, seen: wire.Seen) -> Observation:
        return Observation(frame=self._frame(living, request, seen), admissible=seen.admissible, error=seen.error)

    def _frame(self, living: "_Living", request: wire.Look, pixels: wire.Pixels) -> Frame:
        try:
            return living.frames.take(request.place, pixels.height, pixels.width)
        except (ValueError, OSError) as error:
            self._end()
            raise WorldError(f"{self.name} sent no frame: {error}") from error

    def _end(self) -> int | None:
        with self._lock:
            living, self._living = self._living, None
        return living.end() if living else None


class _Living:
    """A running simulator process with its socket, shared frames, lifeline pipe and scratch folder."""

    def __init__(self, name: str) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="selu-world-"))
        ours, theirs = socket.socketpair()
        self.channel, self.frames = wire.Channel(ours), SharedFrames(nameless() for _ in range(PLACES))
        end, self.lifeline = os.pipe()
        passed = (theirs.fileno(), end, *self.frames.descriptors)
        try:
            # TMPDIR: temporary files of a killed simulator are all in the scratch folder.
            self.process = subprocess.Popen(
                (sys.executable, "-m", "services.worlds.process_child", name, *map(str, passed)),
                pass_fds=passed, start_new_session=True, stdin=subprocess.DEVNULL,
                env={**os.environ, **environment(), "TMPDIR": str(self.scratch)},
            )  # fmt: skip
        except OSError as error:
            ours.close()
            self.frames.close()
            os.close(self.lifeline)
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise WorldError(f"cannot start a process for {name}: {error}") from error
        finally:
            theirs.close()
            os.close(end)
        self._finish = weakref.finalize(self, _finish, self.process, ours, self.frames, self.lifeline, self.scratch)

    def end(self) -> int | None:
        """Ends the process and everything it started. Returns its exit code, negative for a signal."""
        self._finish()
        return self.process.returncode


def _finish(
    process: "subprocess.Popen[bytes]", ours: socket.socket, frames: SharedFrames, lifeline: int, scratch: Path
) -> None:
    reaped = process.returncode is not None  # then the kernel may have given its pid to another process
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits on the socket; close would not
    ours.close()
    frames.close()
    os.close(lifeline)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=TERM_SECONDS)
    if not reaped:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return "exit code unknown" if code is None else f"exit code {code}"
