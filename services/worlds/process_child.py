"""The program of a `ProcessWorld`'s process: makes the simulator, answers requests, and ends with all its children.

    python -m services.worlds.process_child NAME SOCKET LIFELINE FRAME...

SOCKET, LIFELINE and FRAME are inherited descriptors. When the other end of the lifeline pipe closes, this process ends
at once, even if the simulator's code is stuck in a call.
"""

import importlib
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from runtime.parent_death import adopt_orphans, name_process, when_closed
from services.worlds import process_wire as wire
from services.worlds.process_frames import SharedFrames
from services.worlds.reap import descendants, end_all
from services.worlds.returned import as_frame, as_reset, as_step, as_truth
from services.worlds.world import Frame, Observation, World, WorldError


def end(code: int) -> None:
    """Ends all descendants of this process, so none is left as a zombie, and exits."""
    end_all(descendants())
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    os._exit(code)


class Simulator:
    """Answers requests one at a time. A reply's frame is in the shared memory before the reply is sent."""

    def __init__(self, frames: SharedFrames) -> None:
        self._frames = frames
        self._world: World | None = None

    def answer(self, request: wire.Request) -> wire.Reply:
        try:
            return self._answer(request)
        except (ValueError, RuntimeError) as error:
            if isinstance(request, wire.Make):
                return wire.Failed(text=f"{type(error).__name__}: {error}")
            kind = "ValueError" if isinstance(error, ValueError) else "RuntimeError"
            return wire.Refused(kind=kind, text=str(error))
        except WorldError as error:
            return wire.Failed(text=str(error))
        except Exception as error:
            traceback.print_exc()
            return wire.Failed(text=f"{type(error).__name__}: {error}")

    def _answer(self, request: wire.Request) -> wire.Reply:
        if isinstance(request, wire.Make):
            module, _, name = request.target.partition(":")
            make: Callable[..., World] = getattr(importlib.import_module(module), name)
            self._world = make(**request.options)
            return wire.Made()
        if self._world is None:
            raise WorldError("no world was made")
        match request:
            case wire.Reset(task=task, seed=seed, place=place):
                given, seen = as_reset(self._world.reset(task, seed), self._world)
                return wire.Begun(task=given, seen=self._seen(place, seen))
            case wire.Step(action=action, place=place):
                seen, terminated, truncated = as_step(self._world.step(action), self._world)
                return wire.Stepped(seen=self._seen(place, seen), terminated=terminated, truncated=truncated)
            case wire.View(place=place):
                return wire.Viewed(
                    **self._laid(place, as_frame(self._world.third_person(), self._world, "third_person"))
                )
            case wire.Know():
                return wire.Known(truth=as_truth(self._world.truth(), self._world))
            case wire.Close():
                self._world.close()
                return wire.Closed()

    def _seen(self, place: int, observation: Observation) -> wire.Seen:
        return wire.Seen(
            **self._laid(place, observation.frame), admissible=observation.admissible, error=observation.error
        )

    def _laid(self, place: int, frame: Frame) -> dict[str, Any]:
        self._frames.put(place, frame)
        return {"height": frame.shape[0], "width": frame.shape[1]}


def main() -> None:
    name, (ours, lifeline, *frames) = sys.argv[1], map(int, sys.argv[2:])
    for descriptor in (ours, lifeline, *frames):
        os.set_inheritable(descriptor, False)
    adopt_orphans()
    name_process(f"selu-{name}")
    when_closed(lifeline, lambda: end(0))
    channel, simulator = wire.Channel(socket.socket(fileno=ours)), Simulator(SharedFrames(frames))
    while True:
        try:
            request = channel.receive()
            reply = simulator.answer(request)
            channel.send(reply)
        except (OSError, EOFError):
            return
        if isinstance(reply, wire.Closed | wire.Failed):
            return


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        end(1)
    end(0)
