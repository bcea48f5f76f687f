"""Fewer points without losing a spike, smoothing without a lag, axes with round ticks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewell.runs.curves import Axis, Curve, axis_for, curve_of, short, smoothed, thinned


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=400), st.integers(1, 40))
def test_thinning_keeps_extremes_order_and_ends(values, buckets):
    curve = Curve(np.arange(len(values), dtype=float), np.asarray(values, dtype=float))
    thin, whole = thinned(curve, buckets), curve.finite
    assert len(thin) <= max(2 * buckets + 2, 0)
    assert np.all(np.diff(thin.x) > 0)
    if len(whole):
        assert thin.y.min() == whole.y.min()
        assert thin.y.max() == whole.y.max()
        assert thin.x[0] == whole.x[0]
        assert thin.x[-1] == whole.x[-1]
        assert set(zip(thin.x, thin.y, strict=True)) <= set(zip(whole.x, whole.y, strict=True))


def test_each_piece_keeps_its_own_spike():
    values = np.ones(10_000)
    values[[1234, 7777]] = 9, -9
    thin = thinned(Curve(np.arange(10_000.0), values), 100)
    assert {1234.0, 7777.0} <= set(thin.x.tolist())


def test_smoothing_does_not_lag():
    line = smoothed(Curve(np.arange(1000.0, 2000.0), np.arange(1000.0, 2000.0)), 51)
    assert np.allclose(line.y[25:-25], line.x[25:-25])
    assert smoothed(curve_of([(0, 1.0)])).y.tolist() == [1.0]
    assert len(smoothed(curve_of([]))) == 0


def test_gaps_are_no_part_of_the_mean():
    assert smoothed(curve_of([(0, 1.0), (1, math.nan), (2, 3.0), (3, 2.0)]), 3).y.tolist() == [2.0, 2.0, 2.5]


def test_over_decades_one_spike_does_not_lift_a_whole_window():
    curve = curve_of((n, 1000.0 if n == 50 else 1.0) for n in range(100))
    assert smoothed(curve, 11).y.max() == pytest.approx(1000 ** (1 / 11))


def test_decades_make_an_axis_logarithmic():
    assert axis_for([[1e-3, 1.0]]).log
    assert not axis_for([[0.3, 1.0]]).log
    assert not axis_for([[-1.0, 1e5]]).log
    assert axis_for([[0.0, 1e-4, 1.0]]).log
    assert axis_for([]) == Axis(0.0, 1.0)


@given(st.floats(1e-8, 1e8), st.floats(1.0001, 1e6), st.booleans())
def test_ticks_lie_on_the_axis(low, ratio, log):
    axis = axis_for([[low, low * ratio]], log=log)
    ticks = axis.ticks()
    assert len(ticks) <= 8
    assert all(axis.low <= tick * (1 + 1e-9) and tick <= axis.high * (1 + 1e-9) for tick in ticks)
    assert np.all(axis.place(np.asarray([low, low * ratio])) >= 0)


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (0.25, "0.25"), (1200, "1,200"), (3e-5, "3e-5"), (2e7, "2e7"), (math.inf, "infinite")],
)
def test_short_numbers(value, told):
    assert short(value) == told
