from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.checks import check_arrays
from tunewell.inspections import DataCheck, DataChecked


def rows(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return three well separated classes of eight numbers."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 3, count)
    centres = np.random.default_rng(7).normal(0, 3, (3, 8))
    return (centres[classes] + generator.normal(0, 1, (count, 8))).astype(np.float32), classes


def checked(inputs: object, targets: object, **others: object) -> dict[str, DataCheck]:
    found = check_arrays(inputs, targets, **others)
    assert isinstance(found, DataChecked)
    return found.checks


def test_clean_rows_show_nothing() -> None:
    inputs, classes = rows()
    checks = checked(inputs, classes, validation=rows(100, seed=1))
    for name in ("duplicates", "leakage", "conflicts", "unsupervised"):
        assert checks[name].count == 0, name
        assert checks[name].of == 300
    assert checks["signal"].numbers["accuracy"] > 0.9
    assert checks["signal"].numbers["shifted_accuracy"] < 0.5
    assert checks["balance"].numbers["ratio"] < 2
    assert checks["truncated_targets"].why_not


def test_equal_rows_are_found_with_their_partners() -> None:
    inputs, classes = rows()
    again = np.concatenate([inputs, inputs[:30]]), np.concatenate([classes, classes[:30]])
    found = checked(*again)["duplicates"]
    assert (found.count, found.of) == (30, 330)
    assert found.rows == list(range(300, 330))
    assert found.partners == list(range(30))
    assert found.numbers["near"] == 0


def test_as_many_targets_as_inputs() -> None:
    with pytest.raises(ValueError, match="3 inputs, but 2 targets"):
        checked(np.zeros((3, 2)), np.zeros(2))
