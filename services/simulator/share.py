"""Static sharding of episodes over simulators: index modulo their number, derived from the process's name."""

from collections.abc import Sequence

import msgspec

from services.settings import Simulator


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The episodes whose index is ``place`` modulo ``instances``, of which ``episodes`` run at once. A process that
    restarts under its name has the same share."""

    place: int = 0
    instances: int = 1
    episodes: int = 1

    def of(self, quota: int) -> Sequence[int]:
        """The indices of a round's episodes in this share."""
        return range(self.place, quota, self.instances)


def shares(simulator: Simulator) -> list[Share]:
    """All shares, beginning with that of "simulator-0". Raises ValueError if one of them would be empty."""
    count = simulator.instances
    for name, there in (("episodes", simulator.episodes), ("quota", simulator.quota)):
        if there < count:
            raise ValueError(
                f"simulator.instances is {count} and simulator.{name} only {there}: each needs one of its own"
            )
    each, more = divmod(simulator.episodes, count)
    return [Share(place=i, instances=count, episodes=each + (i < more)) for i in range(count)]


def share_of(instance: str, simulator: Simulator) -> Share:
    """The share of the process with that name. Raises ValueError if the name has none."""
    place = instance.removeprefix("simulator-")
    if not place.isdecimal() or int(place) >= simulator.instances:
        raise ValueError(
            f"{instance} is none of the {simulator.instances} simulators that simulator.instances asks for"
        )
    return shares(simulator)[int(place)]
