"""Figures over runs: which interval stands where, and what it counts."""

import pytest

from scripts.trials.figures import T975, Sample, figure, gain, pool, rates, student
from services.proportions import difference, wilson


def samples(*hits: tuple[int, int], n: int = 100) -> list[Sample]:
    return [Sample(seed=seed, value=hit / n, episodes=wilson(hit, n)) for seed, hit in hits]


def test_students_interval_is_that_of_the_book() -> None:
    low, high = student([0.70, 0.80, 0.90])  # s = 0.1, n = 3: 4.303 * 0.1 / sqrt(3)
    assert (round(low, 4), round(high, 4)) == (0.5516, 1.0484)
    assert len(T975) == 30 and list(T975) == sorted(T975, reverse=True)


def test_with_several_seeds_the_interval_is_over_their_means_and_inside_what_a_share_can_be() -> None:
    found = figure(samples((0, 70), (1, 80), (2, 90)))
    assert found is not None and (found.value, found.n, found.unit) == (pytest.approx(0.8), 3, "seeds")
    assert found.ci95 == (pytest.approx(0.5516, abs=1e-4), 1.0)


def test_a_seeds_value_is_its_mean_over_base_models() -> None:
    found = figure(samples((0, 60), (0, 80), (1, 70), (1, 90)))
    assert found is not None and (found.value, found.n) == (pytest.approx(0.75), 2)
    assert found.ci95[0] == pytest.approx(0.75 - 12.706 * 0.05, abs=1e-3)


def test_one_seed_has_the_interval_of_its_episodes() -> None:
    found = figure(samples((0, 70)))
    assert found is not None and (found.unit, found.n, found.ci95) == ("episodes", 100, wilson(70, 100).ci95)


def test_the_same_episodes_used_twice_count_once_and_others_add_up() -> None:
    same = [wilson(70, 100), wilson(70, 100)]
    assert pool(same, shared=True) == same[0]
    assert pool(same, shared=False) == wilson(140, 200)


def test_a_gain_is_paired_within_each_run() -> None:
    before, after = samples((0, 50), (1, 60)), samples((0, 70), (1, 80))
    found = gain(after, before)
    assert found is not None and found.value == pytest.approx(0.2)
    assert found.ci95 == (pytest.approx(0.2), pytest.approx(0.2)) and found.unit == "seeds"
    alone = gain(after[:1], before[:1])
    assert alone is not None and alone.ci95 == difference(wilson(70, 100), wilson(50, 100))[1:]


def test_without_runs_there_is_no_figure() -> None:
    assert figure([]) is None and gain([], []) is None


def test_a_critics_rates_have_the_frames_they_are_about() -> None:
    found = rates(wilson(70, 100), {"base_rate": 0.4, "tpr": 0.5, "tnr": 50 / 60})
    assert (found["tpr"], found["tnr"]) == (wilson(20, 40), wilson(50, 60))
    assert found["balanced"].value == pytest.approx((0.5 + 50 / 60) / 2) and found["balanced"].n == 100
    assert found["balanced"].ci95[0] > found["tpr"].ci95[0]
    assert rates(wilson(70, 100), {"base_rate": 0.0, "tnr": 0.7}).keys() == {"tnr"}
