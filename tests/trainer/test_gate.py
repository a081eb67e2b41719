"""Which adapters are refused or withdrawn, and why."""

from pathlib import Path

import pytest

from protocols.codec import digest
from services.settings import Trainer
from services.trainer.gate import disagrees, falls, refusal, too_few
from services.trainer.learner import Row, Trained

ROWS = [Row(frame=digest(b"f"), prompt="?", answer="yes" if i % 2 else "no") for i in range(20)]


def trained(*probe: str, losses: tuple[float, ...] = (1.0, 0.5), metrics: dict[str, float] | None = None) -> Trained:
    return Trained(folder=Path(), losses=losses, probe=probe, metrics=metrics or {})


def test_a_sound_adapter_passes() -> None:
    assert refusal(trained("yes", "no", "yes"), ROWS, Trainer()) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused(bad: float) -> None:
    assert "not finite" in (refusal(trained("yes", "no", losses=(1.0, bad)), ROWS, Trainer()) or "")
    assert "metrics" in (refusal(trained("yes", "no", metrics={"norm": bad}), ROWS, Trainer()) or "")


@pytest.mark.parametrize("only", ["yes", "no", "find apple"])
def test_one_answer_to_everything_is_a_collapse(only: str) -> None:
    assert "collapsed" in (refusal(trained(*[only] * 64), ROWS, Trainer()) or "")


def test_one_answer_is_no_collapse_where_the_rows_say_nothing_else() -> None:
    rows = [Row(frame=digest(b"f"), prompt="?", answer="no")] * 20
    assert refusal(trained(*["no"] * 64), rows, Trainer()) is None


def test_training_that_reports_nothing_is_refused() -> None:
    assert refusal(trained(), ROWS, Trainer()) == "the adapter was not probed"
    assert refusal(trained("yes", losses=()), ROWS, Trainer()) == "training reported no loss"


def test_too_few_rows_are_not_trained_on() -> None:
    assert "min_rows = 8" in (too_few(ROWS[:7], Trainer()) or "")
    assert too_few(ROWS[:8], Trainer()) is None


def held(both: int = 0, lost: int = 0, won: int = 0, neither: int = 0) -> list[tuple[bool, bool]]:
    return [(True, True)] * both + [(True, False)] * lost + [(False, True)] * won + [(False, False)] * neither


def test_a_critic_that_does_better_or_as_well_on_what_it_was_not_taught_goes_on() -> None:
    assert disagrees([], Trainer()) is None
    assert disagrees(held(both=20, won=8, neither=2), Trainer()) is None
    assert disagrees(held(both=20, lost=4, won=4, neither=2), Trainer()) is None


def test_a_critic_that_contradicts_the_answers_it_was_not_taught_is_withdrawn() -> None:
    why = disagrees(held(both=4, lost=18, won=7, neither=1), Trainer())
    assert why is not None
    assert "37%" in why and "73%" in why and "30 self-asked" in why
    assert disagrees(held(both=4, lost=18, won=7, neither=1), Trainer(critic_margin=1.0)) is None


def test_a_loss_that_may_be_chance_or_lies_within_the_margin_withdraws_no_critic() -> None:
    assert disagrees(held(both=5, lost=3), Trainer()) is None, "3 of 3 lost: 1 in 8"
    assert disagrees(held(both=5, lost=4), Trainer()) is not None, "4 of 4 lost: 1 in 16"
    assert disagrees(held(both=200, lost=8), Trainer()) is None, "4 points"


def test_an_actor_is_withdrawn_where_success_falls_beyond_margin_and_interval() -> None:
    before = [True] * 90 + [False] * 210
    assert falls([True] * 75 + [False] * 225, before, Trainer()) is None, "25% after 30%"
    why = falls([True] * 30 + [False] * 270, before, Trainer())
    assert why is not None and "10% of its 300" in why and "30% of 300" in why
    assert falls([True] * 30 + [False] * 270, before, Trainer(actor_margin=1.0)) is None
    assert falls([False] * 6, [True] * 2 + [False] * 4, Trainer()) is None, "too few to tell"
    assert falls([], before, Trainer()) is None
    assert falls([False] * 300, [], Trainer()) is None
