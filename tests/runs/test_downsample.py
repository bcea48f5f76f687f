from __future__ import annotations

import math
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewell.runs.downsample import edges, ends, extremes, finite, is_raw, smoothed

VALUES = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf])),
    min_size=1,
    max_size=400,
)


@given(VALUES, st.integers(2, 60))
def test_no_spike_is_lost(values: list[float], points: int) -> None:
    column = array("d", values)
    bounds = edges(0, len(column), points)
    made = extremes(column, bounds)
    places = ends(range(len(column)), bounds)
    assert len(made) == len(places) <= max(points, 2)
    assert places[0] == 0
    assert places[-1] == len(column) - 1
    assert places == sorted(places)
    if is_raw(bounds):
        assert made == [finite(value) for value in values]
        return
    for number, (start, stop) in enumerate(pairwise(bounds)):
        present = [value for value in values[start:stop] if math.isfinite(value)]
        pair = made[2 * number : 2 * number + 2]
        assert places[2 * number : 2 * number + 2] == [start, stop - 1]
        if not present:
            assert pair == [None, None]
            continue
        low, high = min(present), max(present)
        assert sorted(one for one in pair if one is not None) == [low, high]
        first_low, last_high = (
            values[start:stop].index(low),
            stop - start - 1 - values[start:stop][::-1].index(high),
        )
        if low != high and values[start:stop].count(low) == values[start:stop].count(high) == 1:
            assert pair == ([low, high] if first_low < last_high else [high, low])


@given(st.integers(0, 500), st.integers(0, 500), st.integers(2, 100))
def test_buckets_cover_everything_once(first: int, count: int, points: int) -> None:
    bounds = edges(first, first + count, points)
    assert bounds[0] == first
    assert bounds[-1] == first + count
    assert all(one < other for one, other in pairwise(bounds))


def test_few_values_are_given_as_they_are() -> None:
    column = array("d", [3.0, math.nan, 1.0])
    bounds = edges(0, 3, 10)
    assert is_raw(bounds)
    assert extremes(column, bounds) == [3.0, None, 1.0]
    assert ends([10, 20, 30], bounds) == [10, 20, 30]


def test_a_window_holds_only_its_own() -> None:
    column = array("d", range(100))
    bounds = edges(40, 60, 4)
    assert extremes(column, bounds) == [40.0, 49.0, 50.0, 59.0]
    assert edges(5, 5, 4) == [5]
    assert extremes(column, [5]) == ends(column, [5]) == []


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50), st.floats(0.5, 50))
def test_smoothing_stays_between_the_extremes_and_begins_at_the_first_value(
    values: list[float], half: float
) -> None:
    made = smoothed(values, half)
    assert made[0] == pytest.approx(values[0], abs=1e-9)
    assert all(min(values) - 1e-6 <= one <= max(values) + 1e-6 for one in made)


def test_half_the_weight_is_gone_after_the_half_life() -> None:
    made = smoothed([0.0] * 1_000 + [1.0] * 10, 10)
    assert made[-1] == pytest.approx(0.5, abs=1e-6)


def test_what_is_not_finite_does_not_stay() -> None:
    made = smoothed([math.nan, 1.0, math.inf, 1.0], 5)
    assert math.isnan(made[0])
    assert list(made[1:]) == pytest.approx([1.0, 1.0, 1.0])
