"""Chooses the trajectories that a report shows: for each outcome, one of the first round and one of the last. Pure."""

from collections.abc import Callable

import msgspec

from protocols.messages import Relabel, Trajectory, Verdict
from services.report.state import ReportState


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A trajectory with all messages about it. ``fate`` is the reason why it is shown, in words."""

    fate: str
    trajectory: Trajectory
    first: Verdict | None
    again: tuple[Verdict, ...]
    relabel: Relabel | None
    dropped: str | None


FATES: tuple[tuple[str, Callable[[ReportState, Verdict], bool]], ...] = (
    ("Its own answer turned a no into a success", lambda _, v: v.flipped and v.success),
    ("Its own answer turned a yes into a failure", lambda _, v: v.flipped and not v.success),
    ("Hindsight found another instruction for it", lambda s, v: not v.success and s.relabels.get(v.trajectory, False)),
    ("Its own answer confirmed a yes", lambda _, v: not v.flipped and v.success and bool(v.questions)),
    ("A failure with nothing to learn", lambda s, v: not v.success and not s.relabels.get(v.trajectory, False)),
)


def choose(state: ReportState) -> list[tuple[str, str]]:
    """(fate, trajectory id) of the trajectories to show; dropped ones last. The same log gives the same choice."""
    chosen: list[tuple[str, str]] = []
    taken: set[str] = set()
    verdicts = [state.verdicts[id] for id in sorted(state.verdicts)]
    for fate, fits in FATES:
        found = [verdict for verdict in verdicts if fits(state, verdict)]
        if not found:
            continue
        first = found[0]
        last = next((v for v in found if v.round == found[-1].round and v.task.verb != first.task.verb), found[-1])
        for verdict in (first, last):
            if verdict.trajectory not in taken:
                taken.add(verdict.trajectory)
                chosen.append((fate, verdict.trajectory))
    dropped = sorted(state.dropped.keys() - taken)[:1]
    return chosen + [("Recorded, and not learned from", id) for id in dropped]


class Gathering:
    """A fold that keeps what is said of the chosen trajectories, and nothing else."""

    def __init__(self, chosen: list[tuple[str, str]], dropped: dict[str, str]) -> None:
        self._chosen = chosen
        self._dropped = dropped
        self._ids = {id for _, id in chosen}
        self._trajectories: dict[str, Trajectory] = {}
        self._verdicts: dict[str, list[Verdict]] = {}
        self._relabels: dict[str, Relabel] = {}

    def apply(self, message: object) -> None:
        match message:
            case Trajectory() if message.id in self._ids:
                self._trajectories[message.id] = message
            case Verdict() if message.trajectory in self._ids:
                self._verdicts.setdefault(message.trajectory, []).append(message)
            case Relabel() if message.trajectory in self._ids:
                self._relabels[message.trajectory] = message
            case _:
                pass

    def samples(self) -> tuple[Sample, ...]:
        """Those whose trajectory was found, in the order chosen."""
        found: list[Sample] = []
        for fate, id in self._chosen:
            trajectory = self._trajectories.get(id)
            if trajectory is None:
                continue
            verdicts = self._verdicts.get(id, [])
            first = [v for v in verdicts if v.critic_version < trajectory.round and v.subject == "task"]
            again = [v for v in verdicts if v.critic_version >= trajectory.round]
            found.append(
                Sample(
                    fate=fate,
                    trajectory=trajectory,
                    first=min(first, key=lambda v: v.critic_version) if first else None,
                    again=tuple(again),
                    relabel=self._relabels.get(id),
                    dropped=self._dropped.get(id),
                )
            )
        return tuple(found)
