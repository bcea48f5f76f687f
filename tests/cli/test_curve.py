"""A curve in characters: it fits, keeps its extremes, names its axis; and it stands below a run that trains."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tunewell.cli._curve import LossCurve, in_ascii, speaks_unicode
from tunewell.cli._live import Live
from tunewell.cli._progress import Progress
from tunewell.records import Started, Step
from tunewell.runs.curves import Curve, curve_of

NOTHING = curve_of([])


def curve(values: list[float]) -> Curve:
    return Curve(np.arange(1.0, len(values) + 1), np.asarray(values))


@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=300),
    st.integers(0, 150),
    st.integers(0, 40),
    st.booleans(),
)
def test_it_fits_whatever_it_shows(values, width, height, plain):
    lines = LossCurve(curve(values), curve(values[:3]), height, plain=plain).lines(width)
    assert len(lines) in (0, height)
    assert all(line.cell_len <= width for line in lines)


def test_decades_are_drawn_on_a_logarithmic_axis():
    lines = LossCurve(curve([10.0 ** -(n / 25) for n in range(90)]), NOTHING, 12).lines(80)
    labels = [line.plain[:7].strip() for line in lines[:-1]]
    assert [label for label in labels if label] == ["1", "0.1", "0.01", "0.001"]


def test_evaluations_stand_where_they_belong():
    lines = LossCurve(curve([1.0] * 50 + [2.0] * 50), curve_of([(50, 1.5)]), 11, plain=True).lines(100)
    (row,) = [place for place, line in enumerate(lines) if "o" in line.plain]
    assert row in (4, 5)
    assert 40 < lines[row].plain.index("o") < 60


def test_the_axis_goes_on_to_the_end_that_is_planned():
    lines = LossCurve(curve([1.0, 2.0, 1.0]), NOTHING, 8, last_step=1000).lines(80)
    assert "1,000" in lines[-1].plain
    assert max(len(line.plain.rstrip()) for line in lines[:-1]) < 20


def test_plain_signs():
    assert in_ascii("▲ a → b · “語”") == '! a -> b - "?"'
    assert not speaks_unicode(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="latin-1")))
    assert speaks_unicode(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8")))


@pytest.mark.parametrize(("height", "is_there"), [(30, True), (24, True), (23, False)])
def test_a_terminal_that_is_tall_enough_shows_it_while_the_run_trains(height, is_there):
    file = io.StringIO()
    console = Console(file=file, width=90, height=height, force_terminal=True, color_system=None)
    progress = Progress()
    live = Live(progress, console)
    started = Started(
        run="demo", recipe_hash="", data_hash="", fingerprint={}, total_steps=50, batches_per_epoch=10, num_rows={},
        trainable_parameters=1, total_parameters=1,
    )  # fmt: skip
    steps = [
        Step(step=n, cursor=n, epoch=0.1, stage=0, loss=2.0 / n, learning_rate=1e-4, gradient_norm=2.0, rows=4, tokens=5, seconds=1)
        for n in range(1, 40)
    ]  # fmt: skip
    for now, record in enumerate([started, *steps]):
        progress.take(record, float(now))
        live.show(record)
    file.truncate(0)
    console.print(live.render())
    assert any(0x2800 < ord(char) < 0x2900 for char in file.getvalue()) == is_there
