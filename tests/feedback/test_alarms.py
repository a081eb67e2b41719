"""Alarms: each of the method's known failures is told, and a healthy run raises none."""

from typing import Any

import pytest

from protocols.messages import Estimate
from services.feedback.alarms import alarms
from services.feedback.figures import RoundFeedback
from services.proportions import wilson
from services.settings import Alarms


def share(percent: int, n: int = 300) -> Estimate:
    return wilson(round(percent * n / 100), n)


def figures(number: int = 1, **fields: Any) -> RoundFeedback:
    healthy: dict[str, Any] = {
        "yes": share(35), "turned": share(25), "success": share(35 + 5 * number), "agreement": share(85),
        "critic_rows": {"yes": 90, "no": 100}, "actor_rows": {"open": 200, "pick": 150}, "verbs": ("open", "pick"),
    }  # fmt: skip
    return RoundFeedback(round=number, **{**healthy, **fields})


def raised(*rounds: RoundFeedback) -> list[str]:
    return [alarm.id for alarm in alarms(rounds, Alarms())]


def test_a_healthy_run_raises_none() -> None:
    assert raised() == []
    assert raised(RoundFeedback(round=1)) == []
    assert raised(figures(1)) == []
    assert raised(figures(1), figures(2)) == []


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ({"yes": share(97)}, "r1/all-yes"),
        ({"success": share(97)}, "r1/all-success"),
        ({"yes": share(2)}, "r1/all-no"),
        ({"success": share(2)}, "r1/no-success"),
        ({"agreement": share(45)}, "r1/disagreement"),
        ({"critic_rows": {"no": 200}}, "r1/few-judgements"),
        ({"actor_rows": {"open": 200, "pick": 9}}, "r1/few-steps"),
    ],
)
def test_what_one_round_shows(fields: dict[str, Any], id: str) -> None:
    assert raised(figures(1, **fields)) == [id]


def test_the_actor_degrading_under_a_kinder_critic_is_told() -> None:
    before = figures(1, yes=share(28), success=share(48))
    (alarm,) = alarms([before, figures(2, yes=share(54), success=share(35))], Alarms())
    assert alarm.id == "r2/degrading"
    assert "48%" in alarm.why and "54%" in alarm.why and "critic.self_ask" in alarm.do
    assert raised(before, figures(2, yes=share(28), success=share(35))) == []
    assert raised(before, figures(2, yes=share(54), success=share(44))) == [], "within the interval"


def test_a_plateau_is_told_where_asking_corrects_nothing_and_nothing_is_gained() -> None:
    still: dict[str, Any] = {"turned": share(2), "agreement": share(98), "success": share(60)}
    assert raised(figures(1, **still), figures(2, **still)) == ["r2/plateau"]
    assert raised(figures(1, **still), figures(2, **{**still, "success": share(66)})) == []
    assert raised(figures(1, **still), figures(2, **{**still, "turned": share(20)})) == []
    learned = {**still, "success": share(91)}
    assert raised(figures(1, **learned), figures(2, **learned)) == [], "nothing is left to gain"


def test_small_rounds_raise_no_alarm_by_chance() -> None:
    assert raised(figures(1, yes=share(0, 12), success=share(100, 12), agreement=share(50, 12))) == []


def test_thresholds_are_settings() -> None:
    strict = Alarms(all_yes=0.3, agreement=0.95, few_rows=160)
    found = {alarm.id for alarm in alarms([figures(1)], strict)}
    assert found == {"r1/disagreement", "r1/few-judgements", "r1/few-steps", "r1/all-success"}
