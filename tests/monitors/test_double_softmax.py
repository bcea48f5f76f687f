"""Softmax of probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.double_softmax import DoubleSoftmax
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def test_it_is_told_at_the_first_look_with_the_floor(look: Look, found: Found) -> None:
    first = found(DoubleSoftmax(), [look(1, outputs_are_probabilities=True, num_outputs=2)])[0]
    assert first.evidence["floor"] == pytest.approx(math.log(1 + 1 / math.e))
    assert "0.313" in first.summary


def test_logits_are_fine(look: Look, found: Found) -> None:
    assert found(DoubleSoftmax(), [look(n, outputs_are_probabilities=False) for n in range(1, 5)]) == []
