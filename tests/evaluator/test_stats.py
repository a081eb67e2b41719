"""Groups and rates, against figures known from elsewhere."""

import pytest

from services.evaluator.stats import by_group, judge_rates


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
