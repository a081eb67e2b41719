"""Which versions stand and which the gate withdrew: told by the announcements, weighed for the next one. Pure.

A withdrawn version is gone from the announcement on that names the version before it, and learning forgets it: what a
withdrawn actor acted, and the rows of the round that taught it last, teach no actor.
"""

from collections.abc import Iterable

from protocols.messages import Role, Round
from services.settings import Trainer
from services.trainer import gate
from services.trainer.book import RoundBook
from services.trainer.dataset import Example


class Standing:
    """`apply` each announcement in its order, and `close` each round's book."""

    def __init__(self, settings: Trainer) -> None:
        self._settings = settings
        self._stood: dict[Role, list[int]] = {"actor": [0], "critic": [0]}
        self._withdrawn: dict[int, int] = {}
        self._seen: dict[int, list[bool]] = {}

    def apply(self, round: Round) -> None:
        self._stand("critic", round.critic_version)
        if gone := self._stand("actor", round.actor_version):
            self._withdrawn[round.number] = gone

    def _stand(self, role: Role, version: int) -> int | None:
        """Takes in the version that stands now; returns the one withdrawn for it, if it is an older one."""
        stood = self._stood[role]
        gone = stood.pop() if version < stood[-1] else None
        if version > stood[-1]:
            stood.append(version)
        return gone

    def close(self, book: RoundBook) -> None:
        """Remembers what the frozen base model saw in a finished round."""
        for version, seen in book.seen_by_frozen().items():
            self._seen.setdefault(version, []).extend(seen)

    @property
    def actors(self) -> set[int]:
        """The actor versions that stand or stood, the withdrawn ones left out."""
        return set(self._stood["actor"])

    def before(self, role: Role) -> int:
        """The version that stood before the one that stands; 0 is the base model's."""
        return self._stood[role][-2] if len(self._stood[role]) > 1 else 0

    def actor_withdrawn_in(self, number: int) -> bool:
        return number in self._withdrawn

    def sound(self, rows: Iterable[Example]) -> list[Example]:
        """The rows of D_a that no withdrawn actor acted, and that are not of the round that taught one last."""
        gone = set(self._withdrawn.values())
        return [row for row in rows if row.round not in gone and row.actor_version not in gone]

    # -- what the gate says

    def actor_falls(self, book: RoundBook) -> str | None:
        """Why the actor that stands must be withdrawn, now that a round of its acting is judged, or None."""
        version = self._stood["actor"][-1]
        if not version:
            return None
        mine = self._seen.get(version, []) + book.seen_by_frozen().get(version, [])
        return gate.falls(mine, self._seen.get(self.before("actor"), []), self._settings)

    def critic_disagrees(self, book: RoundBook) -> str | None:
        """Why the critic that judged the round again must be withdrawn, or None."""
        return gate.disagrees(book.held(self._settings.holdback), self._settings)
