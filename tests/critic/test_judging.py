"""Verdicts as values: judgement, self-asking and what stands after it."""

import math
from typing import Literal

import pytest

from protocols.messages import Finding, Question, Relabel, Step, Task
from services.critic import judging
from services.critic.state import CriticState
from services.models.engine import Generation
from services.settings import Critic
from tests.builders import FRAME, round_, task, trajectory, verdict


def said(text: str, log_odds: float | None = None) -> Generation:
    return Generation(text=text, version=0, log_odds=log_odds)


def test_the_judgement_is_the_sign_of_the_log_odds_or_the_word_where_there_are_none() -> None:
    assert judging.read_judgement(said("no", 0.1)).yes
    assert not judging.read_judgement(said("yes", -0.1)).yes
    assert judging.read_judgement(said("Yes.")).yes
    assert judging.read_judgement(said("no")).log_odds < 0


@pytest.mark.parametrize(
    ("mode", "after_yes", "after_no"), [("off", False, False), ("paper", False, True), ("confirm", True, True)]
)
def test_what_is_questioned(mode: str, after_yes: bool, after_no: bool) -> None:
    settings = Critic(self_ask=mode)  # type: ignore[arg-type]
    assert judging.asks(judging.Judgement(True, 1.0), settings) is after_yes
    assert judging.asks(judging.Judgement(False, -1.0), settings) is after_no


def asked(of: Task, questions: Literal[1, 2] = 1) -> list[tuple[str, tuple[str, ...], str, bool]]:
    inquiries = judging.inquiries(of, FRAME, b"", 2, Critic(questions=questions))
    assert all(inquiry.request.version == 2 for inquiry in inquiries)
    return [(i.request.prompt, i.request.choices, i.expected, i.denies) for i in inquiries]


def test_questions_about_states_are_closed_and_those_about_objects_open() -> None:
    assert asked(task("open", "fridge")) == [("Is the fridge open?", ("yes", "no"), "yes", False)]
    assert asked(task("pick", "apple")) == [("Which object is the robot holding?", (), "apple", False)]
    assert asked(task("put", "apple", "fridge")) == [("Where is the apple?", (), "fridge", False)]


def test_a_second_question_asks_about_the_same_state_the_other_way_around() -> None:
    assert asked(task("open", "fridge"), 2)[1] == ("Which object is open?", (), "fridge", False)
    assert asked(task("pick", "apple"), 2)[1] == ("Where is the apple?", (), "hand", False)
    assert asked(task("put", "apple", "fridge"), 2)[1] == ("Which object is the robot holding?", (), "apple", True)
    assert len(asked(task("sit", "sofa"), 2)) == 1


def question(log_odds: float, *, denies: bool = False) -> Question:
    return Question(text="?", answer="a", frame=FRAME, version=0, expected="a", log_odds=log_odds, denies=denies)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Critic(), ["open:fridge", "put:mug:table"]),
        (Critic(self_ask="paper"), ["open:fridge", "put:mug:table"]),
        (Critic(self_ask="off"), []),
        (Critic(findings=False), []),
    ],
)
def test_the_other_instructions_that_the_actions_carry_out_are_looked_into(
    settings: Critic, expected: list[str]
) -> None:
    actions = ("find mug", "pick up mug", "open fridge", "put the mug on the table", "done")
    of = trajectory(0, task=task("pick", "mug"), steps=tuple(Step(frame=FRAME, action=action) for action in actions))
    assert [other.id for other in judging.also_asks(of, settings)] == expected


def test_of_a_long_trajectory_the_last_instructions_are_looked_into() -> None:
    steps = tuple(Step(frame=FRAME, action=f"open box{number}") for number in range(30))
    found = judging.also_asks(trajectory(0, task=task("pick", "mug"), steps=steps), Critic())
    assert [other.object for other in found] == [f"box{number}" for number in range(22, 30)]


def test_a_finding_is_what_the_answers_say_and_how_surely() -> None:
    other, answers = task("open", "fridge"), (question(-4.0), question(-2.0))
    assert judging.finding(other, answers) == Finding(task=other, holds=False, confidence=3.0, questions=answers)


def test_two_answers_that_contradict_each_other_make_a_doubtful_verdict() -> None:
    sure = judging.settle(judging.Judgement(False, -9.0), [question(4.0), question(6.0)])
    torn = judging.settle(judging.Judgement(False, -9.0), [question(4.0), question(-3.0)])
    assert (sure.yes, sure.log_odds) == (True, 5.0)
    assert (torn.yes, torn.log_odds) == (True, 0.5)


def test_an_answer_that_denies_the_goal_decides_alone_and_its_absence_proves_nothing() -> None:
    assert judging.settle(judging.Judgement(True, 1.0), [question(4.0), question(3.0, denies=True)]).log_odds == -3.0
    assert judging.settle(judging.Judgement(True, 1.0), [question(4.0), question(-9.0, denies=True)]).log_odds == 4.0


@pytest.mark.parametrize(
    ("answer", "log_prob", "log_odds"),
    [
        ("hand", math.log(0.75), math.log(3)),
        ("in the robot's hand.", math.log(0.75), math.log(3)),
        ("table", math.log(0.75), -math.log(3)),
        ("table", math.log(0.25), -math.log(3)),
        ("hand", 0.0, judging.SURE),
        ("table", -1e-12, -judging.SURE),
        ("hand", None, 1.0),
        ("handle", None, -1.0),
    ],
)
def test_an_open_answer_is_as_sure_as_it_was_likely(answer: str, log_prob: float | None, log_odds: float) -> None:
    (_, where) = judging.inquiries(task("pick", "apple"), FRAME, b"", 0, Critic(questions=2))
    given = judging.read_answer(where, Generation(text=answer, version=0, log_prob=log_prob))
    assert given.log_odds == pytest.approx(log_odds)


@pytest.mark.parametrize(("judged", "answer"), [(True, "no"), (False, "yes"), (True, "yes"), (False, "no")])
def test_the_answer_about_the_state_stands(judged: bool, answer: str) -> None:
    of = trajectory()
    (inquiry,) = judging.inquiries(of.task, FRAME, b"", 0, Critic(questions=1))
    question = judging.read_answer(inquiry, said(answer.upper() + ".", 2.0 if answer == "yes" else -2.0))
    given = judging.verdict(of, judging.Judgement(judged, 0.5), version=0, questions=[question])
    assert given.success is (answer == "yes")
    assert given.judged is judged
    assert given.flipped is (judged != (answer == "yes"))
    assert given.confidence == 2.0
    assert given.questions == (question,)


def test_without_questions_the_judgement_stands_as_surely_as_it_was_made() -> None:
    given = judging.verdict(trajectory(), judging.Judgement(False, -0.5), version=0)
    assert (given.success, given.confidence) == (False, 0.5)


def test_the_first_verdict_is_given_by_the_version_of_the_round() -> None:
    state, of = CriticState(), trajectory(0, 2)
    assert state.version(of) is None
    state.apply(1, round_(1))
    assert state.version(of) is None
    state.apply(5, round_(2, critic_version=1))
    assert state.version(of) == 1


def test_an_early_trajectory_is_judged_by_the_version_there_is() -> None:
    state = CriticState()
    state.apply(1, round_(1, max_staleness=1))
    assert state.version(trajectory(0, 2)) == 0
    assert state.version(trajectory(0, 3)) is None


def test_what_has_its_verdict_or_lies_in_a_closed_round_is_not_judged_again() -> None:
    state, of = CriticState(), trajectory()
    state.apply(1, round_(1))
    assert not state.judged(of)
    state.apply(2, verdict(of))
    assert state.judged(of)
    assert not state.judged(trajectory(1))
    state.apply(3, round_(2))
    assert state.judged(trajectory(1))


def test_a_round_is_judged_again_from_its_first_possible_trajectory_to_the_announcement() -> None:
    state = CriticState()
    state.apply(1, round_(1, max_staleness=1))
    state.apply(20, round_(2, max_staleness=1))
    state.apply(30, round_(2, phase="rejudge", critic_version=2, max_staleness=1))
    work = state.rejudging
    assert work is not None
    assert (work.round, work.version, work.start, work.until) == (2, 2, 1, 30)
    assert work.group == "critic/rejudge@2"
    state.apply(40, round_(2, phase="train_actor", critic_version=2))
    assert state.rejudging is None


def test_judging_again_looks_at_the_task_and_at_what_hindsight_made_of_it_once() -> None:
    state, of, found = CriticState(), trajectory(), task("open", "drawer")
    state.apply(1, round_(1))
    assert state.subjects(of, 1) == [("task", of.task)]
    state.apply(2, Relabel(trajectory=of.id, round=1, task=found, act=0))
    assert state.subjects(of, 1) == [("task", of.task), ("relabel", found)]
    state.apply(3, verdict(of, critic_version=1))
    assert state.subjects(of, 1) == [("relabel", found)]


def test_questions_come_in_the_wording_that_is_set_and_expect_the_same_answers() -> None:
    for verb in ("open", "pick", "put"):
        about = task(verb, "mug", "shelf" if verb == "put" else None)
        plain, other = (
            judging.inquiries(about, FRAME, b"", 0, Critic(phrasing=phrasing)) for phrasing in ("plain", "picture")
        )
        assert [(i.expected, i.denies) for i in plain] == [(i.expected, i.denies) for i in other]
        assert all(i.request.prompt.startswith("In the picture, ") for i in other)
        assert not any(i.request.prompt.startswith("In the picture, ") for i in plain)
