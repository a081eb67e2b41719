"""Groups and rates, against figures known from elsewhere."""

import pytest

from protocols.messages import Outcome, Question, Relabel
from services.evaluator.audit import Audit
from services.evaluator.stats import by_group, judge_rates, precision_recall
from tests.builders import FRAME, task, trajectory, verdict


def test_groups_are_estimated_apart() -> None:
    groups = by_group([("open", True), ("break", False), ("open", False)])
    assert [(name, found.value, found.n) for name, found in groups.items()] == [("break", 0.0, 1), ("open", 0.5, 2)]


def test_a_judges_rates() -> None:
    rates = judge_rates([(True, True), (True, True), (False, True), (True, False), (False, False)])
    assert rates == pytest.approx(
        {"yes_rate": 0.6, "base_rate": 0.6, "tpr": 2 / 3, "tnr": 0.5, "balanced_accuracy": (2 / 3 + 0.5) / 2}
    )
    assert "balanced_accuracy" not in judge_rates([(True, True)])
    assert judge_rates([]) == {}


def test_precision_and_recall_count_only_what_is_known() -> None:
    labels, truth = {"a": True, "b": True, "c": False, "x": True}, {"a": True, "b": False, "c": True}
    assert precision_recall(labels, truth, "asked") == {"label_precision_asked": 0.5, "label_recall_asked": 0.5}
    assert precision_recall({"a": False}, {"a": False}, "asked") == {}


def test_labels_are_audited_at_each_of_their_stages() -> None:
    audit = Audit()
    asked = Question(text="?", answer="yes", frame=FRAME, version=0, expected="yes")
    for index, (success, judged, kept, again) in enumerate(
        [(True, False, True, True), (False, True, True, False), (False, False, False, False)]
    ):
        of = trajectory(index)
        audit.apply(verdict(of, kept, judged=judged, questions=(asked,)))
        audit.apply(verdict(of, again, critic_version=1))
        audit.apply(verdict(of, True, critic_version=1, subject="relabel"))
        audit.apply(Outcome(trajectory=of.id, round=1, success=success, satisfied=("open:drawer",)))
    audit.apply(Relabel(trajectory="r1-00002", round=1, task=task("open", "drawer")))
    audit.apply(Relabel(trajectory="r1-00001", round=1, task=task("open", "book")))
    assert audit.figures(1) == pytest.approx(
        {
            "label_precision_judged": 0.0, "label_recall_judged": 0.0, "label_precision_asked": 0.5,
            "label_recall_asked": 1.0, "label_precision_rejudged": 1.0, "label_recall_rejudged": 1.0,
            "exploration_success": 1 / 3, "relabel_precision": 0.5,
        }
    )  # fmt: skip
    audit.forget_before(2)
    assert audit.figures(1) == {}
