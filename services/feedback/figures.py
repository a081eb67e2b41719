"""Metrics of self-feedback by round: a fold over the log's messages, without the world's truth. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from protocols.messages import Adapter, Count, Dropped, Estimate, Relabel, Role, Round, Trajectory, Verdict
from services.feedback.held import asked, held_back
from services.proportions import estimate


class RoundFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """One round's metrics of self-feedback. Shares have 95% Wilson intervals; a field is None if nothing is known yet.

    ``yes``: share of yes among the critic's own judgements.
    ``turned``: share of self-asked verdicts that the answers reversed.
    ``success``: share of trajectories that are a success after self-asking.
    ``relabelled``: share of failures for which hindsight found another instruction.
    ``relabels_confirmed``: share of these that the tuned critic calls a success.
    ``agreement``: share of trajectories on which the tuned critic agrees with the first verdict after self-asking.
    ``held_before``, ``held_after``: agreement of the previous and of the tuned critic's own judgements with the
      self-asked verdicts that are held back from training.
    ``done``: share of episodes that the actor ended itself.
    ``refused``: share of actions that the world refused.
    ``action_entropy``: entropy of the distribution of all actions, in bits; 0 if only one is ever taken.
    ``critic_rows``, ``actor_rows``: rows the round's adapters were trained on, by verb; for the critic by answer too.
    """

    round: Count
    trajectories: Count = 0
    yes: Estimate | None = None
    turned: Estimate | None = None
    success: Estimate | None = None
    relabelled: Estimate | None = None
    relabels_confirmed: Estimate | None = None
    agreement: Estimate | None = None
    held_before: Estimate | None = None
    held_after: Estimate | None = None
    done: Estimate | None = None
    refused: Estimate | None = None
    action_entropy: float | None = None
    verbs: tuple[str, ...] = ()
    critic_rows: dict[str, Count] = {}
    actor_rows: dict[str, Count] = {}

    def gauges(self) -> dict[str, float]:
        """The known metrics as gauges."""
        found: dict[str, float] = {"feedback_round": float(self.round)}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Estimate):
                found[f"feedback_{name}"] = value.value
            elif isinstance(value, dict):
                found |= {f"feedback_{name}_{key}": float(count) for key, count in value.items()}
        if self.action_entropy is not None:
            found["feedback_action_entropy_bits"] = self.action_entropy
        return found


class _Episode(msgspec.Struct, frozen=True):
    verb: str
    ended: str
    actions: Mapping[str, int]
    refused: int


class _Book(msgspec.Struct):
    """One round's messages, by trajectory id."""

    episodes: dict[str, _Episode] = {}
    first: dict[str, Verdict] = {}
    again: dict[tuple[str, str], bool] = {}
    relabels: dict[str, bool] = {}
    dropped: set[str] = set()
    rows: dict[Role, dict[str, int]] = {}


class Feedback:
    """Apply messages in log order; duplicates have no effect. Between two round announcements any order is allowed. A
    round's metrics are final when the next round begins."""

    def __init__(self, holdback: float) -> None:
        self._holdback = holdback
        self._books: dict[int, _Book] = {}
        self._closed: dict[int, RoundFeedback] = {}
        self._number = 0

    def apply(self, message: object) -> None:
        match message:
            case Round():
                self._close_before(message.number)
            case Trajectory() | Verdict() | Relabel() | Dropped() | Adapter() if message.round >= self._number:
                _note(self._books.setdefault(message.round, _Book()), message)
            case _:
                pass

    def _close_before(self, number: int) -> None:
        self._number = max(self._number, number)
        for old in [old for old in self._books if old < self._number]:
            self._closed[old] = self.figures(old)
            del self._books[old]

    @property
    def now(self) -> RoundFeedback:
        """The metrics of the current round."""
        return self.figures(self._number)

    @property
    def rounds(self) -> tuple[RoundFeedback, ...]:
        """The metrics of every announced round, oldest first."""
        return tuple(self.figures(number) for number in range(1, self._number + 1))

    def figures(self, number: int) -> RoundFeedback:
        if number in self._closed:
            return self._closed[number]
        book = self._books.get(number, _Book())
        first = {id: verdict for id, verdict in book.first.items() if id not in book.dropped}
        verdicts = first.values()
        again = {id: yes for (id, subject), yes in book.again.items() if subject == "task" and id in first}
        held = [id for id in again if asked(first[id]) and held_back(id, self._holdback)]
        failed = [id for id, verdict in first.items() if not verdict.success and id in book.relabels]
        relabels = [yes for (id, subject), yes in book.again.items() if subject == "relabel" and id in first]
        episodes = [episode for episode in book.episodes.values() if episode.ended != "truncated"]
        actions = Counter[str]()
        for episode in episodes:
            actions.update(episode.actions)
        refused = sum(episode.refused for episode in episodes)
        return RoundFeedback(
            round=number,
            trajectories=len(book.episodes),
            yes=_share(verdict.judged for verdict in verdicts),
            turned=_share(verdict.flipped for verdict in verdicts if asked(verdict)),
            success=_share(verdict.success for verdict in verdicts),
            relabelled=_share(book.relabels[id] for id in failed),
            relabels_confirmed=_share(relabels),
            agreement=_share(yes == first[id].success for id, yes in again.items()),
            held_before=_share(first[id].judged == first[id].success for id in held),
            held_after=_share(again[id] == first[id].success for id in held),
            done=_share(episode.ended == "done" for episode in episodes),
            refused=_share([True] * refused + [False] * (actions.total() - refused)),
            action_entropy=_entropy(actions) if actions else None,
            verbs=tuple(sorted({episode.verb for episode in episodes})),
            critic_rows=book.rows.get("critic", {}),
            actor_rows=book.rows.get("actor", {}),
        )


def _note(book: _Book, message: Trajectory | Verdict | Relabel | Dropped | Adapter) -> None:
    match message:
        case Trajectory():
            actions = Counter(step.action for step in message.steps)
            refused = sum(step.error is not None for step in message.steps)
            book.episodes.setdefault(message.id, _Episode(message.task.verb, message.ended, actions, refused))
        case Verdict() if message.critic_version >= message.round:
            book.again.setdefault((message.trajectory, message.subject), message.judged)
        case Verdict() if message.subject == "task":
            known = book.first.get(message.trajectory)
            if known is None or message.critic_version < known.critic_version:
                book.first[message.trajectory] = message
        case Relabel():
            book.relabels.setdefault(message.trajectory, message.task is not None)
        case Dropped():
            book.dropped.add(message.trajectory)
        case Adapter():
            book.rows.setdefault(message.role, message.balance)
        case _:
            pass


def _share(found: Iterable[bool]) -> Estimate | None:
    results = list(found)
    return estimate(results) if results else None


def _entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values()) + 0.0
