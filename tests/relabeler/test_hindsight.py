"""Hindsight: what is asked about a failure, and which instruction the answers make it fulfil."""

import pytest

from protocols.codec import digest
from protocols.messages import Question, Relabel, Task
from services.relabeler.hindsight import Found, conclude, inquiries
from services.relabeler.state import RelabelerState
from services.settings import Relabeler
from tests.builders import round_, trajectory, verdict

APPLE = Task(id="pick:apple", instruction="pick up the apple", verb="pick", object="apple")
ACTIONS = ("find mug", "pick up mug", "find table", "put mug on table", "open drawer", "done")


def found(answers: dict[str, str], actions: tuple[str, ...] = ACTIONS, **fields: object) -> Found | None:
    settings = Relabeler(**fields)  # type: ignore[arg-type]
    asked = [
        (
            item,
            Question(text=item.question, answer=answers.get(item.question, "nothing"), frame=digest(b"f"), version=0),
        )
        for item in inquiries(APPLE, actions, settings)
    ]
    return conclude(APPLE, actions, asked, settings)


def test_only_verbs_that_the_trajectory_used_are_asked_about() -> None:
    questions = [item.question for item in inquiries(APPLE, ACTIONS, Relabeler())]
    assert questions == ["Which object is the robot holding?", "Where is the mug?", "Which object is open?"]


def test_without_tracing_every_verb_is_asked_about() -> None:
    questions = [item.question for item in inquiries(APPLE, (), Relabeler(trace=False))]
    assert "Which object is broken?" in questions
    assert "What is the robot sitting on?" in questions
    own = inquiries(APPLE, (), Relabeler(trace=False, verbs="own"))
    assert [item.question for item in own] == ["Which object is the robot holding?"]


def test_the_answer_names_the_object_and_the_actions_name_the_act() -> None:
    relabel = found({"Which object is open?": "the Drawer."})
    assert relabel is not None
    assert (relabel.task.id, relabel.task.instruction, relabel.act) == ("open:drawer", "open the drawer", 4)


def test_an_object_that_no_action_concerned_is_not_believed() -> None:
    assert found({"Which object is open?": "fridge"}) is None
    untraced = found({"Which object is open?": "fridge"}, trace=False)
    assert untraced is not None and (untraced.task.id, untraced.act) == ("open:fridge", None)


def test_answers_that_name_nothing_make_no_relabel() -> None:
    for answer in ("nothing", "", "Yes", "none."):
        assert found({"Which object is open?": answer}, trace=False) is None


def test_the_own_verb_comes_first_else_what_was_done_last() -> None:
    both = {"Which object is the robot holding?": "mug", "Which object is open?": "drawer"}
    relabel = found(both)
    assert relabel is not None and (relabel.task.id, relabel.act) == ("pick:mug", 1)
    others = {"Where is the mug?": "table", "Which object is open?": "drawer"}
    relabel = found(others)
    assert relabel is not None and relabel.task.id == "open:drawer"


def test_a_placement_is_confirmed_by_where_the_object_is() -> None:
    relabel = found({"Where is the mug?": "table"})
    assert relabel is not None
    assert relabel.task == Task(
        id="put:mug:table", instruction="put the mug on the table", verb="put", object="mug", target="table"
    )
    assert relabel.act == 3
    assert found({"Where is the mug?": "floor"}) is None


@pytest.mark.parametrize("said", ["tvstand", "TV stand", "the tv_stand.", "TVStand", "tv stand 1"])
def test_an_answer_in_another_spelling_names_what_the_action_named(said: str) -> None:
    actions = ("open tv stand", "put mug on tv_stand", "close Coffee_Machine", "done")
    opened = found({"Which object is open?": said}, actions)
    assert opened is not None and (opened.task.id, opened.act) == ("open:tv stand", 0)
    placed = found({"Where is the mug?": said}, actions)
    assert placed is not None and (placed.task.id, placed.act) == ("put:mug:tv stand", 1)


def test_the_task_itself_in_another_spelling_is_no_relabel() -> None:
    own = Task(id="open:tv stand", instruction="open the tv stand", verb="open", object="tv stand")
    (asked,) = inquiries(own, ("open tvstand",), Relabeler(verbs="own"))
    answer = Question(text=asked.question, answer="tv stand", frame=digest(b"f"), version=0)
    assert conclude(own, ("open tvstand",), [(asked, answer)], Relabeler()) is None


def test_each_placement_is_asked_about_once_and_the_last_attempt_counts() -> None:
    actions = ("put mug in fridge", "open fridge", "put the mug in the fridge", "put mug on shelf")
    asked = [item for item in inquiries(APPLE, actions, Relabeler()) if item.placed]
    assert [(item.placed.target, item.act) for item in asked if item.placed] == [("fridge", 2), ("shelf", 3)]


def test_the_task_that_failed_is_not_its_own_relabel() -> None:
    actions = ("pick up apple", "done")
    assert found({"Which object is the robot holding?": "apple"}, actions) is None


def test_only_first_verdicts_that_are_failures_of_an_open_round_are_wanted() -> None:
    state, of = RelabelerState(), trajectory(0, 2)
    state.apply(round_(2))
    assert state.wanted(verdict(of, False, critic_version=1))
    assert not state.wanted(verdict(of, True, critic_version=1))
    assert not state.wanted(verdict(of, False, critic_version=2))
    assert not state.wanted(verdict(of, False, subject="relabel"))
    assert not state.wanted(verdict(trajectory(0, 1), False))
    state.apply(Relabel(trajectory=of.id, round=2, task=None))
    assert not state.wanted(verdict(of, False, critic_version=1))


def test_trajectories_are_remembered_until_their_round_is_over() -> None:
    state, of = RelabelerState(), trajectory(0, 1)
    assert state.episode(verdict(of)) is None
    state.apply(of)
    episode = state.episode(verdict(of))
    assert episode is not None and episode.actions == ("find fridge",)
    state.apply(round_(2))
    assert state.episode(verdict(of)) is None


def test_questions_come_in_the_wording_that_is_set() -> None:
    questions = [item.question for item in inquiries(APPLE, ACTIONS, Relabeler(phrasing="now"))]
    assert questions == ["Which object is the robot holding now?", "Where is the mug now?", "Which object is open now?"]
