"""Which episodes to run next: a fold over rounds and trajectories. No I/O."""

from collections import deque
from collections.abc import Mapping

import msgspec

from protocols.messages import Round, Trajectory
from services.simulator.share import Share
from services.worlds.world import SEED_STARTS, seeds


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One trajectory to collect: its id, the seed of its world, and the actor version that acts all of it."""

    id: str
    round: int
    index: int
    seed: int
    actor_version: int


def trajectory_id(round: int, index: int) -> str:
    return f"r{round}-{index:05d}"


class Collection:
    """Apply events in any order and any number of times; `take` returns the next episode to start.

    Up to ``max_staleness`` rounds ahead of the last announced round, episodes of later rounds may start too. The actor
    version that is current at their start acts them. ``starts`` are the first seeds of the splits, ``share`` selects
    this simulator's episodes.
    """

    def __init__(
        self, *, run_seed: int, rounds: int, starts: Mapping[str, int] = SEED_STARTS, share: Share | None = None
    ) -> None:
        self._share = share or Share()
        self._run_seed = run_seed
        self._starts = starts
        self._rounds = rounds
        self._round: Round | None = None
        self._have: dict[int, set[int]] = {}
        self._running: dict[int, set[int]] = {}
        self._pending: deque[tuple[int, int]] = deque()

    def apply(self, message: Round | Trajectory) -> None:
        if isinstance(message, Trajectory):
            self._have.setdefault(message.round, set()).add(message.index)
            self._running.get(message.round, set()).discard(message.index)
            return
        now = self._round
        if now is not None and (message.number, message.phase == "finished") < (now.number, now.phase == "finished"):
            return
        self._round = message
        if now is None or message.number > now.number or message.phase == "finished":
            self._plan()

    def _plan(self) -> None:
        now = self._round
        assert now is not None
        self._pending.clear()
        if now.phase == "finished":
            return
        for old in [number for number in self._have if number < now.number]:
            del self._have[old]
        for number in range(now.number, min(now.number + now.max_staleness, self._rounds) + 1):
            self._pending.extend((number, index) for index in self._share.of(now.quota))

    def take(self) -> Episode | None:
        """The next episode to start, now counted as running. None if no episode is due."""
        while self._pending:
            number, index = self._pending.popleft()
            running = self._running.setdefault(number, set())
            if index in self._have.get(number, ()) or index in running:
                continue
            running.add(index)
            assert self._round is not None
            return Episode(
                id=trajectory_id(number, index),
                round=number,
                index=index,
                seed=seeds("train", self._round.quota, run_seed=self._run_seed, round=number, starts=self._starts)[
                    index
                ],
                actor_version=self._round.actor_version,
            )
        return None

    @property
    def finished(self) -> bool:
        return self._round is not None and self._round.phase == "finished"

    @property
    def collected(self) -> int:
        """Number of the current round's trajectories in the log, from all simulators."""
        return len(self._have.get(self._round.number, ())) if self._round else 0
