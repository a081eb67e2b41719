"""Which versions to measure, and when: a fold over rounds, adapters, swaps and evaluations. No I/O."""

from collections.abc import Iterable

from protocols.messages import Adapter, Evaluation, Role, Round, Swap

Version = tuple[Role, int]
"""A version of a role; 0 is the base model."""

ROLES: tuple[Role, ...] = ("actor", "critic")


class EvaluatorState:
    """Apply events in any order. Duplicates have no effect."""

    def __init__(self) -> None:
        self._last: Round | None = None
        self._adapters: dict[Version, Adapter] = {}
        self._served: dict[Version, bool] = {}
        self._measured: set[Version] = set()

    def apply(self, message: Round | Adapter | Swap | Evaluation) -> None:
        match message:
            case Round():
                if self._last is None or _place(message) > _place(self._last):
                    self._last = message
            case Adapter():
                self._adapters.setdefault((message.role, message.version), message)
            case Swap():
                key = (message.role, message.version)
                self._served[key] = message.served or self._served.get(key, False)
            case Evaluation():
                self._measured.add((message.role, message.version))

    @property
    def finished(self) -> bool:
        """Whether the last round is over."""
        return self._last is not None and self._last.phase == "finished"

    def serves(self, version: Version) -> bool:
        """Whether this version can answer: the base model, or a promoted adapter that its engine did not refuse."""
        adapter = self._adapters.get(version)
        return version[1] == 0 or (adapter is not None and adapter.promoted and self._served.get(version, True))

    def adapter(self, role: Role, version: int) -> Adapter | None:
        return self._adapters.get((role, version))

    def critic_of(self, version: int) -> int:
        """The newest serving critic version that is not newer than this actor version."""
        return max(known for known in range(version + 1) if self.serves(("critic", known)))

    def due(self) -> list[Version]:
        """The versions without an evaluation, oldest first."""
        known: list[Version] = [*((role, 0) for role in ROLES), *self._adapters]
        due = [version for version in known if version not in self._measured and self.serves(version)]
        return sorted(due, key=lambda version: (version[1], version[0]))

    @property
    def oldest_due(self) -> int:
        """The oldest round that a later evaluation may be about."""
        rounds = [version for _, version in self.due() if version]
        return min([*rounds, self._last.number if self._last else 0])

    def ready(self, role: Role) -> int | None:
        """The version of a role to measure now: one that is being replaced, or any once the run is over. Else None.

        Measuring starts when the training of the version's successor starts. Training then waits for it as little as
        possible, and its requests are in flight when the successor is swapped in.
        """
        now = self._last
        for due_role, version in self.due():
            if due_role == role and now is not None:
                leaving = now.number > version and (now.phase != "collect" or now.number > version + 1)
                if self.finished or leaving:
                    return version
        return None

    def succeeded(self, role: Role, version: int) -> bool:
        """Whether a newer version of the role is published, or the run is over. Items need not be held back then."""
        return self.finished or any(known == role and number > version for known, number in self._adapters)


def _place(round: Round) -> tuple[int, int]:
    return round.number, ("collect", "train_critic", "rejudge", "train_actor", "finished").index(round.phase)


def due(messages: Iterable[object]) -> list[Version]:
    """The versions without an evaluation, from a log's messages.

    A run is over when its last round is "finished" and no version is due.
    """
    state = EvaluatorState()
    for message in messages:
        if isinstance(message, Round | Adapter | Swap | Evaluation):
            state.apply(message)
    return state.due()
