"""Which verdicts need hindsight, with the data of their trajectories: a fold without I/O."""

import msgspec

from protocols.messages import Digest, Relabel, Round, Task, Trajectory, Verdict


class Episode(msgspec.Struct, frozen=True):
    """The parts of a trajectory that hindsight needs."""

    task: Task
    actions: tuple[str, ...]
    final_frame: Digest


class RelabelerState:
    """Keeps the trajectories of rounds that are not closed yet."""

    def __init__(self) -> None:
        self._round = 0
        self._episodes: dict[int, dict[str, Episode]] = {}
        self._relabelled: dict[int, set[str]] = {}

    def apply(self, message: Round | Trajectory | Relabel) -> None:
        match message:
            case Round():
                self._round = max(self._round, message.number)
                for by_round in (self._episodes, self._relabelled):
                    for number in [number for number in by_round if number < self._round]:
                        del by_round[number]
            case Trajectory() if message.round >= self._round and message.final_frame is not None:
                actions = tuple(step.action for step in message.steps)
                episode = Episode(message.task, actions, message.final_frame)
                self._episodes.setdefault(message.round, {})[message.id] = episode
            case Relabel() if message.round >= self._round:
                self._relabelled.setdefault(message.round, set()).add(message.trajectory)
            case _:
                pass

    def wanted(self, verdict: Verdict) -> bool:
        """Whether the verdict needs hindsight: a failure of an open round that has no relabel yet, judged by a critic
        older than its round."""
        return (
            verdict.subject == "task"
            and not verdict.success
            and verdict.critic_version < verdict.round
            and verdict.round >= self._round
            and verdict.trajectory not in self._relabelled.get(verdict.round, ())
        )

    def episode(self, verdict: Verdict) -> Episode | None:
        """The verdict's trajectory, or None if it has not arrived yet."""
        return self._episodes.get(verdict.round, {}).get(verdict.trajectory)
