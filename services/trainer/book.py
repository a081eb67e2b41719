"""What the log says about the trajectories of one round, in whatever order it arrived. Pure."""

import msgspec

from protocols.messages import Digest, Dropped, Relabel, Round, Trajectory, Verdict
from services.feedback.held import asked, frozen, held_back
from services.trainer.dataset import Record


class VerdictMissing(Exception):
    """A round was learned from although the log has no verdict on one of its trajectories: the log lost messages."""


class RoundBook(msgspec.Struct):
    """Everything by trajectory id. ``first`` are verdicts of a critic older than the round (the oldest counts), and
    ``again`` those of the critic trained in it, by subject."""

    number: int
    trajectories: dict[str, Trajectory] = {}
    first: dict[str, Verdict] = {}
    again: dict[tuple[str, str], Verdict] = {}
    relabels: dict[str, Relabel] = {}
    dropped: set[str] = set()

    def apply(self, message: Trajectory | Verdict | Relabel | Dropped) -> None:
        """Takes a message in; the same one twice, or a second one under its name, changes nothing."""
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
        """Every frame of its trajectories."""
        seen = {step.frame for trajectory in self.trajectories.values() for step in trajectory.steps}
        return seen | {t.final_frame for t in self.trajectories.values() if t.final_frame is not None}

    def collected(self, quota: int) -> bool:
        """Whether all trajectories of the round are there."""
        return sum(trajectory.index < quota for trajectory in self.trajectories.values()) >= quota

    def to_drop(self, round: Round, actor_versions: set[int]) -> list[Dropped]:
        """The trajectories not to be learned from, and why, where that is not yet on record.

        ``actor_versions`` are those that acted in any round: staleness is counted in them.
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
        """Whether the tuned critic has judged all of them again, and what hindsight made of them."""
        if len(self.again) + len(self.dropped) < len(self.trajectories):
            return False
        return all(
            (id, "task") in self.again and (self._task(id) is None or (id, "relabel") in self.again)
            for id in self.learnable
        )

    def held(self, share: float) -> list[tuple[bool, bool]]:
        """Of the self-asked verdicts held back from training, whether each critic's own judgement agrees with the
        answers: (of the critic before, of the tuned one)."""
        return [
            (first.judged == first.success, self.again[id, "task"].judged == first.success)
            for id in sorted(self.learnable)
            if asked(first := self.first[id]) and held_back(id, share)
        ]

    def seen_by_frozen(self) -> dict[int, list[bool]]:
        """The successes and failures that the frozen base model sees, by the version that acted; those of versions of
        which it was not asked about every trajectory are left out."""
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
        """What to learn from. The tuned critic's verdicts count only if it is the `critic_version` that stands.

        Raises:
            VerdictMissing: the round is not judged; it never is asked for before.
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
