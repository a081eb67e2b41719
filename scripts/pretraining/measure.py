"""Measures a micro model on episodes that it was not trained on: answers by kind, acting and judging."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.messages import Task
from scripts.pretraining.data import LIMIT, Corpus, StageName, gather, painter, shards
from scripts.pretraining.model import Micro
from services.actor import prompts as actor
from services.critic import prompts as critic
from services.worlds.household.actions import DONE, parse_action
from services.worlds.household.state import act
from services.worlds.household.tasks import Domain, draw_episode, holds

FIRST_SEED = 700_000_000
"""First episode seed in the unknown household, outside every split. No settings are chosen on these episodes."""

EVALUATION = 900
"""The seed of the measured shards; no training uses it."""


class Share(NamedTuple):
    """``right`` correct ones of ``of``."""

    right: int
    of: int

    @property
    def value(self) -> float:
        return self.right / self.of if self.of else float("nan")

    @classmethod
    def true(cls, values: Sequence[bool] | NDArray[np.bool_]) -> "Share":
        return cls(int(np.sum(values)), len(values))


def held_out(domain: Domain, shift: float, images: int, workers: int) -> Corpus:
    """Pictures and rows like pretraining's, and a quarter as many like practice's, from separate episodes."""
    parts: tuple[tuple[StageName, int], ...] = (("pretrain", images), ("practise", images // 4))
    return gather([part for stage, count in parts for part in shards(stage, EVALUATION, count, domain, shift)], workers)


def accuracy(micro: Micro, corpus: Corpus) -> dict[str, Share]:
    """The share of greedy answers equal to the truth, by kind of question; "questions" is over all of them.

    Captions have no single correct answer, and actions no single correct next action. `judge` measures judgements.
    """
    rows = [row for row in corpus.rows if row.kind not in ("act", "caption") and not row.kind.startswith("judge")]
    features = micro.features(corpus.images)
    said = micro.answers(features[[row.image for row in rows]], [row.prompt for row in rows])
    right: dict[str, list[bool]] = defaultdict(list)
    for row, answer in zip(rows, said, strict=True):
        right[row.kind].append(answer == row.answer)
        right["questions"].append(answer == row.answer)
    return {kind: Share.true(values) for kind, values in sorted(right.items())}


class Played(NamedTuple):
    """One episode: its task, its true success, and the last third-person frame."""

    task: Task
    success: bool
    frame: NDArray[np.uint8]


def play(
    micro: Micro, shift: float, episodes: int, *, temperature: float, first_seed: int = FIRST_SEED
) -> list[Played]:
    """Plays episodes of the unknown household in a batch, with the model as actor."""
    drawn = [draw_episode(first_seed + i, "unknown") for i in range(episodes)]
    draw = [painter(episode, shift) for episode in drawn]
    states = [episode.state for episode in drawn]
    histories: list[list[str]] = [[] for _ in drawn]
    live = list(range(episodes))
    for _ in range(LIMIT):
        if not live:
            break
        prompts = [actor.next_action(drawn[i].task.instruction, histories[i]) for i in live]
        features = micro.features(np.stack([draw[i](states[i], "first") for i in live]))
        for i, action in zip(live, micro.answers(features, prompts, temperature=temperature), strict=True):
            histories[i].append(action)
            parsed = parse_action(action)
            if parsed:
                states[i], _ = act(states[i], drawn[i].rules, parsed)
        live = [i for i in live if histories[i][-1] != DONE]
    return [
        Played(episode.task, holds(state, episode.task), draw[i](state, "third"))
        for i, (episode, state) in enumerate(zip(drawn, states, strict=True))
    ]


class Judged(NamedTuple):
    """The accuracy of judging played episodes. ``recall`` is over successes, ``specificity`` over failures, ``asked``
    is the accuracy of the state question alone (self-asking in place of judging)."""

    accuracy: Share
    recall: Share
    specificity: Share
    asked: Share


def judge(micro: Micro, played: Sequence[Played]) -> Judged:
    features = micro.features(np.stack([episode.frame for episode in played]))
    margins = micro.margins(features, [critic.judge(episode.task.instruction) for episode in played])
    questions = [critic.self_ask(episode.task) for episode in played]
    answers = micro.answers(features, [question for question, _ in questions])
    truth = np.array([episode.success for episode in played])
    said = margins > 0
    asked = np.array([answer == expected for answer, (_, expected) in zip(answers, questions, strict=True)])
    return Judged(
        Share.true(said == truth), Share.true(said[truth]), Share.true(~said[~truth]), Share.true(asked == truth)
    )
