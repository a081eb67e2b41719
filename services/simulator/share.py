"""Which part of the collecting is one simulator's: every process finds it from its own name, without asking anyone."""

from collections.abc import Sequence

import msgspec

from services.settings import Simulator


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One of ``instances`` simulators plays the episodes whose index is ``place`` modulo their number, ``episodes`` of
    them at once. A process that is killed and started again under its name has the same share."""

    place: int = 0
    instances: int = 1
    episodes: int = 1

    def of(self, quota: int) -> Sequence[int]:
        """The indices of a round's episodes that are this one's."""
        return range(self.place, quota, self.instances)


def shares(simulator: Simulator) -> list[Share]:
    """All shares, that of "simulator-0" first. Raises ValueError where one of them would have nothing to do."""
    count = simulator.instances
    for name, there in (("episodes", simulator.episodes), ("quota", simulator.quota)):
        if there < count:
            raise ValueError(
                f"simulator.instances is {count} and simulator.{name} only {there}: each needs one of its own"
            )
    each, more = divmod(simulator.episodes, count)
    return [Share(place=i, instances=count, episodes=each + (i < more)) for i in range(count)]


def share_of(instance: str, simulator: Simulator) -> Share:
    """The share of the process of that name. Raises ValueError where there is none for it."""
    place = instance.removeprefix("simulator-")
    if not place.isdecimal() or int(place) >= simulator.instances:
        raise ValueError(
            f"{instance} is none of the {simulator.instances} simulators that simulator.instances asks for"
        )
    return shares(simulator)[int(place)]
