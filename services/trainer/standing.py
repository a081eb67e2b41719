"""Tracks the active and withdrawn versions of each role from round announcements. Pure.

After a withdrawal, announcements name the previous version. Training excludes two kinds of rows: those that a withdrawn
actor acted, and those of the round that trained it last.
"""

from collections.abc import Iterable

from protocols.messages import Role, Round
from services.settings import Trainer
from services.trainer import gate
from services.trainer.book import RoundBook
from services.trainer.dataset import Example


class Standing:
    """Call `apply` with each announcement in order, and `close` with each finished round's book."""

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
        """Records the active version. Returns the version that it replaced by withdrawal (a newer one), or None."""
        stood = self._stood[role]
        gone = stood.pop() if version < stood[-1] else None
        if version > stood[-1]:
            stood.append(version)
        return gone

    def close(self, book: RoundBook) -> None:
        """Keeps the frozen base model's view of a finished round."""
        for version, seen in book.seen_by_frozen().items():
            self._seen.setdefault(version, []).extend(seen)

    @property
    def actors(self) -> set[int]:
        """The active and earlier actor versions, without withdrawn ones."""
        return set(self._stood["actor"])

    def before(self, role: Role) -> int:
        """The version that was active before the current one; 0 is the base model."""
        return self._stood[role][-2] if len(self._stood[role]) > 1 else 0

    def actor_withdrawn_in(self, number: int) -> bool:
        return number in self._withdrawn

    def sound(self, rows: Iterable[Example]) -> list[Example]:
        """The rows of D_a without a withdrawn actor's trajectories and without the round that trained it last."""
        gone = set(self._withdrawn.values())
        return [row for row in rows if row.round not in gone and row.actor_version not in gone]

    # -- decisions of the gate

    def actor_falls(self, book: RoundBook) -> str | None:
        """The reason why the active actor must be withdrawn, or None. Called when a round that it acted is judged."""
        version = self._stood["actor"][-1]
        if not version:
            return None
        mine = self._seen.get(version, []) + book.seen_by_frozen().get(version, [])
        return gate.falls(mine, self._seen.get(self.before("actor"), []), self._settings)

    def critic_disagrees(self, book: RoundBook) -> str | None:
        """The reason why the critic that judged the round again must be withdrawn, or None."""
        return gate.disagrees(book.held(self._settings.holdback), self._settings)
