from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewell.monitors import _statistics

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(values)
def test_median_is_the_median(numbers: list[float]) -> None:
    assert _statistics.median(numbers) == statistics.median(numbers)


def test_spread_estimates_sigma_and_ignores_outliers() -> None:
    rng = random.Random(0)
    noise = [rng.gauss(5, 2) for _ in range(2000)]
    assert _statistics.spread(noise) == pytest.approx(2, rel=0.1)
    assert _statistics.spread([*noise, *[1e9] * 50]) == pytest.approx(2, rel=0.1)


def test_quantile_is_a_value_that_the_share_does_not_exceed() -> None:
    numbers = [float(number) for number in range(1, 101)]
    assert _statistics.quantile(numbers, 0.95) == 95
    assert _statistics.quantile(numbers, 1.0) == 100
    assert _statistics.quantile([3.0], 0.99) == 3


def test_standard_error_agrees_with_the_textbook() -> None:
    numbers = [1.0, 2.0, 4.0, 8.0]
    assert _statistics.standard_error(numbers) == pytest.approx(statistics.stdev(numbers) / 2)


def test_rank_z_is_zero_for_equals_and_largest_for_separate_samples() -> None:
    assert _statistics.rank_z([1.0] * 8, [1.0] * 20) == 0
    apart = _statistics.rank_z([5.0] * 32, [1.0] * 64)
    assert apart == pytest.approx(7.96, abs=0.01)
    assert _statistics.rank_z([1.0] * 32, [5.0] * 64) == -apart


def test_change_point_finds_where_values_begin_to_stay_high() -> None:
    assert _statistics.change_point([0.1, 0.9, 0.1, 0.1, 0.9, 0.8, 0.4, 0.9], 0.5) == 4
    assert _statistics.change_point([0.1, 0.1], 0.5) == 1


@given(values, st.floats(-5, 5), st.integers(1, 60))
def test_pushed_keeps_the_newest_and_leaves_its_input(numbers: list[float], new: float, size: int) -> None:
    before = list(numbers)
    window = _statistics.pushed(numbers, new, size)
    assert numbers == before
    assert window == [*numbers, new][-size:]
