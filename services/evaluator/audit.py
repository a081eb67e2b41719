"""The audit: compares a round's verdicts, relabels and training rows with the world's truth, for metrics only."""

import msgspec

from protocols.messages import Estimate, Outcome, Relabel, Role, Verdict
from services.critic.prompts import NO, YES
from services.proportions import estimate
from services.worlds.spelling import task_key


class Learned(msgspec.Struct, frozen=True):
    """The fields of a row of D_c or D_a that the audit reads."""

    trajectory: str
    round: int
    instruction: str
    answer: str
    source: str


class _Book(msgspec.Struct):
    """One round's messages, by trajectory id."""

    success: dict[str, bool] = {}
    satisfied: dict[str, frozenset[str]] = {}
    """Task keys, because an instruction may spell an object differently from the world."""
    first: dict[str, Verdict] = {}
    again: dict[str, bool] = {}
    relabels: dict[str, str] = {}
    tasks: dict[str, str] = {}
    """Task ids by instruction."""


class Audit:
    """A fold over outcomes, verdicts and relabels, in any order."""

    def __init__(self) -> None:
        self._books: dict[int, _Book] = {}

    def apply(self, message: Outcome | Verdict | Relabel) -> None:
        book = self._books.setdefault(message.round, _Book())
        if isinstance(message, Verdict | Relabel) and message.task is not None:
            book.tasks[message.task.instruction] = message.task.id
        if isinstance(message, Verdict):
            book.tasks |= {finding.task.instruction: finding.task.id for finding in message.findings}
        match message:
            case Outcome():
                book.success[message.trajectory] = message.success
                book.satisfied[message.trajectory] = frozenset(map(task_key, message.satisfied))
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
        """Discards the rounds before this one."""
        for old in [number for number in self._books if number < round]:
            del self._books[old]

    def labels(self, role: Role, round: int, rows: bytes) -> dict[str, Estimate]:
        """Accuracy of one round's training rows; ``rows`` are JSON lines. Rows without known truth are not counted.

        Of D_c ("d_c_accuracy" and "d_a_precision" also by source, as in "d_c_accuracy_hindsight"):
          d_c_accuracy: share of correct labels
          d_c_precision: share of correct labels among the "yes"
          d_c_recall: share of "yes" among instructions that were fulfilled
        Of D_a:
          d_a_precision: share of trajectories that fulfil the instruction they are learned under
          d_a_recall: share of successful trajectories that are learned under their own instruction
        Of the round's verdicts, returned with D_c:
          judged_*, asked_*, rejudged_*: accuracy, precision and recall of the critic's own judgement, of the verdict
            after self-asking, and of the tuned critic
          exploration_success: share of successes
          relabel_precision: share of relabels whose goal held
        """
        learned = [row for line in rows.splitlines() if (row := msgspec.json.decode(line, type=Learned)).round == round]
        if role == "critic":
            judged = [row for row in learned if row.answer in (YES, NO)]
            return {**self._critic_labels(round, judged), **self._round(round)}
        return self._actor_labels(round, [row for row in learned if row.answer not in (YES, NO)])

    def _critic_labels(self, round: int, rows: list[Learned]) -> dict[str, Estimate]:
        checked = [(row, so) for row in rows if (so := self._holds(round, row)) is not None]
        right = [(row.source, (row.answer == YES) == so) for row, so in checked]
        found = {
            "d_c_accuracy": [hit for _, hit in right],
            "d_c_precision": [so for row, so in checked if row.answer == YES],
            "d_c_recall": [row.answer == YES for row, so in checked if so],
        }
        by_source = {f"d_c_accuracy_{name}": [hit for source, hit in right if source == name] for name, _ in right}
        return {name: estimate(hits) for name, hits in {**found, **by_source}.items() if hits}

    def _round(self, round: int) -> dict[str, Estimate]:
        book = self._books.get(round, _Book())
        kinds = {
            "judged": {id: verdict.judged for id, verdict in book.first.items()},
            "asked": {id: verdict.success for id, verdict in book.first.items()},
            "rejudged": book.again,
        }
        found = {
            "exploration_success": list(book.success.values()),
            "relabel_precision": [
                task_key(task) in book.satisfied[id] for id, task in book.relabels.items() if id in book.satisfied
            ],
        }
        for kind, said in kinds.items():
            known = [(yes, book.success[id]) for id, yes in said.items() if id in book.success]
            found[f"{kind}_accuracy"] = [yes == so for yes, so in known]
            found[f"{kind}_precision"] = [so for yes, so in known if yes]
            found[f"{kind}_recall"] = [yes for yes, so in known if so]
        return {name: estimate(hits) for name, hits in found.items() if hits}

    def _actor_labels(self, round: int, rows: list[Learned]) -> dict[str, Estimate]:
        book = self._books.get(round, _Book())
        kept = {(row.trajectory, row.instruction): row for row in rows}
        checked = [(row, so) for row in kept.values() if (so := self._holds(round, row)) is not None]
        own = {row.trajectory for row in kept.values() if row.source == "rollout"}
        found = {
            "d_a_precision": [so for _, so in checked],
            "d_a_recall": [trajectory in own for trajectory, success in book.success.items() if success],
        }
        by_source = {
            f"d_a_precision_{name}": [so for row, so in checked if row.source == name]
            for name in {row.source for row, _ in checked}
        }
        return {name: estimate(hits) for name, hits in {**found, **by_source}.items() if hits}

    def _holds(self, round: int, row: Learned) -> bool | None:
        """Whether the row's instruction was fulfilled at its trajectory's end; None if unknown."""
        book = self._books.get(round, _Book())
        task, satisfied = book.tasks.get(row.instruction), book.satisfied.get(row.trajectory)
        return None if task is None or satisfied is None else task_key(task) in satisfied
