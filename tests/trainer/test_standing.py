"""Withdrawals as a fold: who goes, who comes back, what is learned from, and that a replay decides the same."""

from collections.abc import Iterable
from typing import TypedDict

import msgspec
import pytest

from protocols.messages import Fault, Question, Relabel, Round, Trajectory, Verdict
from services.feedback.held import held_back
from services.settings import Run, Settings, Simulator, Trainer
from services.trainer.state import Event, Publish, Train, TrainerState
from tests.trainer.story import Story

SETTINGS = Settings(run=Run(rounds=4), simulator=Simulator(quota=60), trainer=Trainer(holdback=0.3))


class Fate(TypedDict, total=False):
    """Which versions fail."""

    sabotaged: tuple[int, ...]
    clumsy: tuple[int, ...]


class Fallible(Story):
    """Some critics repeat what they were told and ``sabotaged`` ones say the opposite; the frozen base model sees no
    success in what ``clumsy`` actors do, and in every third trajectory of the others."""

    def __init__(
        self, settings: Settings, *, sabotaged: tuple[int, ...] = (), clumsy: tuple[int, ...] = (), asker: int = 0
    ) -> None:
        super().__init__(settings)
        self.sabotaged = sabotaged
        self.clumsy = clumsy
        self.asker = asker
        self._actor = 0

    def _round(self, round: Round) -> Iterable[Event]:
        if round.phase == "collect":
            self._actor = round.actor_version
        for event in super()._round(round):
            match event:
                case Verdict(subject="task"):
                    verdict = self._verdict(event)
                    yield verdict
                    if not verdict.success and verdict.critic_version < round.number:
                        yield Relabel(trajectory=verdict.trajectory, round=round.number, task=None)
                case Trajectory():
                    yield event
                case _:
                    pass

    def _verdict(self, verdict: Verdict) -> Verdict:
        index = int(verdict.trajectory[-5:])
        holds = index % 3 == 0 and self._actor not in self.clumsy
        if verdict.critic_version >= verdict.round:
            return msgspec.structs.replace(verdict, judged=holds != (verdict.critic_version in self.sabotaged))
        asked = Question(text="?", answer="yes", frame=verdict.frame, version=self.asker, expected="yes")
        answers = (asked,) if holds else (msgspec.structs.replace(asked, answer="no"),)
        return msgspec.structs.replace(verdict, judged=holds != (index % 4 == 0), success=holds, questions=answers)


def versions(story: Story) -> list[tuple[int, str, int, int]]:
    """(round, phase, actor, critic) of every announcement."""
    rounds = [event for event in story.events if isinstance(event, Round)]
    return [(r.number, r.phase, r.actor_version, r.critic_version) for r in rounds]


def test_nothing_is_withdrawn_where_critics_agree_and_actors_do_not_fall() -> None:
    story = Fallible(SETTINGS)
    story.run()
    assert story.faults == []
    assert versions(story)[-1] == (4, "finished", 4, 4)


def test_a_sabotaged_critic_teaches_no_actor_and_judges_no_further_round() -> None:
    story = Fallible(SETTINGS, sabotaged=(2,))
    story.run()
    assert [fault.what for fault in story.faults] == ["critic@2 was withdrawn"]
    assert (2, "rejudge", 1, 2) in versions(story)
    assert (2, "train_actor", 1, 1) in versions(story)
    assert (3, "collect", 2, 1) in versions(story)
    assert {row.critic_version for row in story.trained["actor@2"].rows if row.round == 2} == {1}
    assert story.trained["critic@3"].parent is not None and story.trained["critic@3"].parent.version == 1


def test_what_is_held_back_is_in_no_critics_rows() -> None:
    story = Fallible(SETTINGS)
    story.run()
    for name, work in story.trained.items():
        held = {row.trajectory for row in work.rows if held_back(row.trajectory, 0.3)}
        assert bool(held) == name.startswith("actor")


def test_an_actor_that_falls_is_followed_by_the_one_before_it() -> None:
    story = Fallible(SETTINGS, clumsy=(2,))
    story.run()
    assert [fault.what for fault in story.faults] == ["actor@2 was withdrawn"]
    collected = [entry for entry in versions(story) if entry[1] == "collect"]
    assert [actor for _, _, actor, _ in collected] == [0, 1, 2, 1]
    assert (3, "train_critic", 1, 2) in versions(story)
    assert "actor@3" not in story.trained and "critic@3" in story.trained
    again = story.trained["actor@4"]
    assert again.parent is not None and again.parent.version == 1
    assert {(row.round, row.actor_version) for row in again.rows} == {(1, 0), (4, 1)}


def test_success_that_only_a_trained_critic_sees_withdraws_nobody() -> None:
    story = Fallible(SETTINGS, clumsy=(2,), asker=1)
    story.run()
    assert story.faults == []


def test_margins_of_one_withdraw_nobody() -> None:
    never = msgspec.structs.replace(SETTINGS, trainer=Trainer(holdback=0.3, critic_margin=1.0, actor_margin=1.0))
    story = Fallible(never, sabotaged=(2,), clumsy=(2,))
    story.run()
    assert story.faults == []


def test_a_shared_adapter_goes_as_a_whole() -> None:
    shared = msgspec.structs.replace(SETTINGS, trainer=Trainer(holdback=0.3, shared=True))
    story = Fallible(shared, clumsy=(2,))
    story.run()
    assert (3, "collect", 2, 2) in versions(story)
    assert (3, "train_critic", 1, 1) in versions(story)
    assert story.trained["critic@3"].parent is not None and story.trained["critic@3"].parent.version == 1


@pytest.mark.parametrize("fate", [{"sabotaged": (2,)}, {"clumsy": (2,)}])
def test_a_replay_of_the_log_decides_the_same(fate: Fate) -> None:
    story = Fallible(SETTINGS, **fate)
    story.run()
    state, decided = TrainerState(SETTINGS), {}
    for event in story.events:
        for decision in state.decide():
            decided.setdefault(decision.id, decision)
        state.apply(event)
    said = {decision.id: decision.message for decision in decided.values() if isinstance(decision, Publish)}
    assert [said[f"r{r.number}/{r.phase}"] for r in story.events if isinstance(r, Round)] == [
        r for r in story.events if isinstance(r, Round)
    ]
    assert {id: work for id, work in decided.items() if isinstance(work, Train)} == story.trained
    assert [message for message in said.values() if isinstance(message, Fault)] == story.faults
