"""Intervals of proportions and of their differences, against figures known from elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proportions import difference, wilson


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


def test_the_interval_of_a_difference_is_newcombes() -> None:
    gain, low, high = difference(wilson(56, 70), wilson(48, 80))  # Newcombe 1998, table II, case (a), method 10
    assert (gain, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
