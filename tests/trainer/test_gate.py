"""Which adapters are refused, and why."""

from pathlib import Path

import pytest

from protocols.codec import digest
from services.settings import Trainer
from services.trainer.gate import refusal, too_few
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
