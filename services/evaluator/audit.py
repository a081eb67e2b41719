"""How right a round's labels were: verdicts and relabels held against the world's truth. Measures, never teaches."""

import msgspec

from protocols.messages import Outcome, Relabel, Verdict
from services.evaluator.stats import precision_recall


class _Book(msgspec.Struct):
    """One round, by trajectory id."""

    success: dict[str, bool] = {}
    satisfied: dict[str, tuple[str, ...]] = {}
    first: dict[str, Verdict] = {}
    again: dict[str, bool] = {}
    relabels: dict[str, str] = {}


class Audit:
    """A fold over outcomes, verdicts and relabels, in any order."""

    def __init__(self) -> None:
        self._books: dict[int, _Book] = {}

    def apply(self, message: Outcome | Verdict | Relabel) -> None:
        book = self._books.setdefault(message.round, _Book())
        match message:
            case Outcome():
                book.success[message.trajectory] = message.success
                book.satisfied[message.trajectory] = message.satisfied
            case Verdict() if message.subject != "task":
                pass
            case Verdict() if message.critic_version >= message.round:
                book.again[message.trajectory] = message.judged
            case Verdict():
                known = book.first.get(message.trajectory)
                if known is None or message.critic_version < known.critic_version:
                    book.first[message.trajectory] = message
            case Relabel():
                if message.task is not None:
                    book.relabels[message.trajectory] = message.task.id

    def forget_before(self, round: int) -> None:
        """Lets go of rounds whose figures nobody wants any more."""
        for old in [number for number in self._books if number < round]:
            del self._books[old]

    def figures(self, round: int) -> dict[str, float]:
        """Proportions in [0, 1], those that cannot be known left out.

        Precision and recall of "success" labels as the critic first judged, after self-asking, and as its tuned self
        judged again (``judged``, ``asked``, ``rejudged``), and the share of relabels whose goal really held.
        """
        book = self._books.get(round, _Book())
        figures = {
            **precision_recall({id: verdict.judged for id, verdict in book.first.items()}, book.success, "judged"),
            **precision_recall({id: verdict.success for id, verdict in book.first.items()}, book.success, "asked"),
            **precision_recall(book.again, book.success, "rejudged"),
        }
        if book.success:
            figures["exploration_success"] = sum(book.success.values()) / len(book.success)
        checked = [task in book.satisfied[id] for id, task in book.relabels.items() if id in book.satisfied]
        if checked:
            figures["relabel_precision"] = sum(checked) / len(checked)
        return figures
