"""Runs a blocking world from an event loop: each call in a worker thread, with a deadline. Also encodes frames
there."""

import io
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec
from PIL import Image

from protocols.codec import digest as digest_of
from protocols.messages import Digest, Task
from services.worlds.process import ProcessWorld
from services.worlds.returned import as_frame, as_reset, as_step, as_truth
from services.worlds.world import Frame, Observation, TaskRefused, Truth, World, WorldError

T = TypeVar("T")

THREADS = min(8, 2 * (os.cpu_count() or 1))
"""The most world calls that run at once in this process. More would only compete for the same cores."""


class Picture(msgspec.Struct, frozen=True):
    """An encoded frame (PNG) and its digest."""

    png: bytes
    digest: Digest


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An observation whose frame is encoded."""

    picture: Picture
    admissible: tuple[str, ...]
    error: str | None


def encode(frame: Frame) -> Picture:
    """Encodes the frame as PNG. Run-length matching is faster than zlib's level 1, and smaller on rendered frames."""
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    png = out.getvalue()
    return Picture(png, digest_of(png))


class ThreadedWorld:
    """One world that runs one episode at a time. After a failure or a hang, the next `reset` makes another world.

    `seconds` limits each call of a world in this process; a `ProcessWorld` has its own deadlines. All methods raise
    `WorldError`, whatever the world raised. `failures` counts errors since the last completed episode. If the world
    refuses a `reset` with ValueError, because it cannot offer the task, `reset` raises `TaskRefused` and keeps the
    world; `refusals` counts these since the last completed episode.
    """

    def __init__(self, make: Callable[[], World], *, seconds: float, limiter: anyio.CapacityLimiter) -> None:
        self._make = make
        self._seconds = seconds
        self._limiter = limiter
        self._alone = anyio.CapacityLimiter(1)  # for a ProcessWorld, whose thread only waits
        self._world: World | None = None
        self._last: tuple[Frame, Picture] | None = None
        self.failures = self.refusals = 0

    async def reset(self, task: Task | None, seed: int) -> tuple[Task, Seen]:
        made = self._world is None
        if self._world is None:
            self._world = await self._run(lambda _: self._make(), None)

        def start(world: World) -> tuple[Task, Seen]:
            try:
                returned = world.reset(task, seed)
            except ValueError as error:
                raise TaskRefused(str(error)) from error
            given, observation = as_reset(returned, world)
            if made and not isinstance(world, ProcessWorld):  # finds faults before an episode is played
                as_frame(world.third_person(), world, "third_person")
                as_truth(world.truth(), world)
            return given, self._see(observation)

        return await self._run(start, self._world)

    async def step(self, action: str) -> tuple[Seen, bool, bool]:
        def step(world: World) -> tuple[Seen, bool, bool]:
            observation, terminated, truncated = as_step(world.step(action), world)
            return self._see(observation), terminated, truncated

        return await self._run(step, self._running())

    async def look(self) -> Picture:
        """Returns the current third-person view."""
        return await self._run(self._view, self._running())

    async def end(self) -> tuple[Picture, Truth]:
        """Returns the last third-person frame and the ground truth, and resets `failures` and `refusals`."""
        ended = await self._run(lambda world: (self._view(world), as_truth(world.truth(), world)), self._running())
        self.failures = self.refusals = 0
        return ended

    async def close(self) -> None:
        """Closes the world and ignores its errors."""
        if self._world is not None:
            with suppress(WorldError):
                await self._run(lambda world: world.close(), self._world)
            self._world = None

    def kill(self) -> None:
        """Kills a `ProcessWorld`; any other world is only dropped."""
        world, self._world = self._world, None
        if isinstance(world, ProcessWorld):
            world.kill()

    def _running(self) -> World:
        if self._world is None:
            raise WorldError("the world has no episode: it failed or was never reset")
        return self._world

    async def _run(self, work: Callable[..., T], world: World | None) -> T:
        seconds, limiter = self._seconds, self._limiter
        if isinstance(world, ProcessWorld):
            seconds, limiter = world.deadlines.longest, self._alone
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(work, world, abandon_on_cancel=True, limiter=limiter)
        except TimeoutError:
            self._give_up()
            raise WorldError(f"the world gave no answer within {seconds:g} s") from None
        except TaskRefused:
            self.refusals += 1
            raise
        except WorldError:
            self._give_up()
            raise
        except Exception as error:
            self._give_up()
            raise WorldError(f"{type(error).__name__}: {error}") from error

    def _give_up(self) -> None:
        self.failures += 1
        self.kill()

    def _view(self, world: World) -> Picture:
        return self._encode(as_frame(world.third_person(), world, "third_person"))

    def _see(self, observation: Observation) -> Seen:
        picture = self._encode(observation.frame)
        return Seen(picture=picture, admissible=observation.admissible, error=observation.error)

    def _encode(self, frame: Frame) -> Picture:
        """Encodes a frame. Returns the last picture if the frame is unchanged, as after a refused action."""
        last = self._last
        if last is None or last[0].shape != frame.shape or not (last[0] == frame).all():
            last = self._last = (frame.copy(), encode(frame))
        return last[1]
