"""Intervals and rates, against figures known from elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.messages import Outcome, Question, Relabel
from services.evaluator.audit import Audit
from services.evaluator.stats import by_group, judge_rates, precision_recall, wilson
from tests.builders import FRAME, task, trajectory, verdict


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert found.ci95 == pytest.approx((low, high), abs=2e-5)
    assert (found.value, found.n) == (successes / n, n)


def test_without_observations_everything_is_possible() -> None:
    assert wilson(0, 0).ci95 == (0.0, 1.0)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_contains_the_proportion_and_stays_within_bounds(counts: tuple[int, int]) -> None:
    found = wilson(*counts)
    assert 0 <= found.ci95[0] <= found.ci95[1] <= 1
    assert found.n == 0 or found.ci95[0] - 1e-12 <= found.value <= found.ci95[1] + 1e-12


def test_what_is_no_proportion_is_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


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
