"""Intervals of scores: from the literature where there is one, and as wide as draws really scatter."""

from __future__ import annotations

import numpy as np
import pytest

from tunewell.records import Eval
from tunewell.runs.uncertainty import interval, wilson


def scored(confusion: list[list[int]] | None, **metrics: float) -> Eval:
    rows = int(np.sum(confusion)) if confusion else 100
    return Eval(
        step=1,
        epoch=1.0,
        split="test",
        loss=0.5,
        metrics=metrics,
        rows=rows,
        seconds=1.0,
        confusion=confusion,
    )


def test_wilson_as_published():
    found = wilson(0.9, 10)  # Brown, Cai and DasGupta (2001) give such tables
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0.5, 0) is None


def test_mcc_and_macro_f1_scatter_as_new_rows_would():
    confusion = [[80, 20], [30, 70]]
    f1 = [2 * 80 / (100 + 110), 2 * 70 / (100 + 90)]
    macro = interval(scored(confusion, macro_f1=sum(f1) / 2), "macro_f1")
    mcc = interval(scored(confusion, mcc=(80 * 70 - 20 * 30) / (100 * 100 * 110 * 90) ** 0.5), "mcc")
    assert macro is not None
    assert mcc is not None
    assert macro.low < sum(f1) / 2 < macro.high
    assert 0.08 < macro.high - macro.low < 0.16
    assert 0.2 < mcc.high - mcc.low < 0.3


def test_what_is_not_known_has_none():
    assert interval(scored(None, pearson=0.5), "pearson") is None
    assert interval(scored([[50, 0], [0, 50]], macro_f1=0.4), "macro_f1") is None  # not what the matrix says
    assert interval(scored(None, accuracy=0.5), "mcc") is None
    assert interval(scored(None, accuracy=0.5), "accuracy") is not None
