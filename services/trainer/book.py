"""The messages of the log about one round's trajectories, independent of their order of arrival. Pure."""

import msgspec

from protocols.messages import Digest, Dropped, Relabel, Round, Trajectory, Verdict
from services.feedback.held import asked, frozen, held_back
from services.trainer.dataset import Record


class VerdictMissing(Exception):
    """A round is trained on although the log lacks a verdict on one of its trajectories: the log lost messages."""


class RoundBook(msgspec.Struct):
    """The messages by trajectory id. ``first`` holds verdicts of critics older than the round (the oldest critic's
    counts), ``again`` those of the critic trained in it, by trajectory and subject."""

    number: int
    trajectories: dict[str, Trajectory] = {}
    first: dict[str, Verdict] = {}
    again: dict[tuple[str, str], Verdict] = {}
    relabels: dict[str, Relabel] = {}
    dropped: set[str] = set()

    def apply(self, message: Trajectory | Verdict | Relabel | Dropped) -> None:
        """Adds a message. Duplicates have no effect."""
        match message:
            case Trajectory():
                self.trajectories.setdefault(message.id, message)
            case Verdict() if message.critic_version >= self.number:
                self.again.setdefault((message.trajectory, message.subject), message)
            case Verdict() if message.subject == "task":
                known = self.first.get(message.trajectory)
                if known is None or message.critic_version < known.critic_version:
                    self.first[message.trajectory] = message
            case Relabel():
                self.relabels.setdefault(message.trajectory, message)
            case Dropped():
                self.dropped.add(message.trajectory)
            case _:
                pass

    @property
    def frames(self) -> set[Digest]:
        """All frames of the round's trajectories."""
        seen = {step.frame for trajectory in self.trajectories.values() for step in trajectory.steps}
        return seen | {t.final_frame for t in self.trajectories.values() if t.final_frame is not None}

    def collected(self, quota: int) -> bool:
        """Whether all trajectories of the round have arrived."""
        return sum(trajectory.index < quota for trajectory in self.trajectories.values()) >= quota

    def to_drop(self, round: Round, actor_versions: set[int]) -> list[Dropped]:
        """The trajectories to exclude from training, with the reason, if the log has no `Dropped` for them yet.

        ``actor_versions`` are the versions that acted in any round. Staleness is the number of them that are newer than
        the trajectory's version, up to the round's.
        """
        found: list[Dropped] = []
        for id in sorted(self.trajectories.keys() - self.dropped):
            trajectory = self.trajectories[id]
            newer = sum(trajectory.actor_version < version <= round.actor_version for version in actor_versions)
            reason = None
            if trajectory.ended == "truncated" or trajectory.final_frame is None:
                reason = f"truncated: {trajectory.cause or 'the simulator gave no cause'}"
            elif newer > round.max_staleness:
                reason = (
                    f"stale: acted by actor@{trajectory.actor_version}, {newer} versions behind "
                    f"actor@{round.actor_version}; simulator.max_staleness is {round.max_staleness}"
                )
            if reason:
                found.append(Dropped(trajectory=id, round=self.number, reason=reason))
        return found

    @property
    def learnable(self) -> set[str]:
        return self.trajectories.keys() - self.dropped

    def judged(self) -> bool:
        """Whether every learnable trajectory has its first verdict, and every failure its relabel."""
        if len(self.first) + len(self.dropped) < len(self.trajectories):
            return False
        return all(id in self.first and (self.first[id].success or id in self.relabels) for id in self.learnable)

    def rejudged(self) -> bool:
        """Whether the tuned critic has judged every learnable trajectory again, and every relabelled instruction."""
        if len(self.again) + len(self.dropped) < len(self.trajectories):
            return False
        return all(
            (id, "task") in self.again and (self._task(id) is None or (id, "relabel") in self.again)
            for id in self.learnable
        )

    def held(self, share: float) -> list[tuple[bool, bool]]:
        """One pair for each self-asked verdict held back from training: whether the previous critic's own judgement
        agrees with the answers, and whether the tuned critic's does."""
        return [
            (first.judged == first.success, self.again[id, "task"].judged == first.success)
            for id in sorted(self.learnable)
            if asked(first := self.first[id]) and held_back(id, share)
        ]

    def seen_by_frozen(self) -> dict[int, list[bool]]:
        """Success by the frozen base model's answers, for each trajectory of an actor version. A version is left out if
        the base model was not asked about all of its trajectories."""
        found: dict[int, list[bool | None]] = {}
        for id in sorted(self.learnable & self.first.keys()):
            found.setdefault(self.trajectories[id].actor_version, []).append(frozen(self.first[id]))
        return {
            version: [one for one in seen if one is not None] for version, seen in found.items() if None not in seen
        }

    def _task(self, id: str) -> object:
        relabel = self.relabels.get(id)
        return relabel.task if relabel and not self.first[id].success else None

    def records(self, critic_version: int) -> list[Record]:
        """The training records of the round. The tuned critic's verdicts are included only if it is `critic_version`.

        Raises:
            VerdictMissing: a learnable trajectory has no verdict. Does not happen once `judged` is true.
        """
        if unjudged := sorted(self.learnable - self.first.keys()):
            raise VerdictMissing(f"the log has no verdict on {unjudged[0]}")
        tuned = critic_version == self.number
        return [
            Record(
                trajectory=self.trajectories[id],
                first=self.first[id],
                relabel=self.relabels.get(id),
                rejudged=self.again.get((id, "task")) if tuned else None,
                rejudged_relabel=self.again.get((id, "relabel")) if tuned else None,
            )
            for id in sorted(self.learnable)
        ]
