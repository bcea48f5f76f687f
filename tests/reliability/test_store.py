"""Runs that log at once and are killed: every acknowledged record is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.reliability import store


@pytest.mark.slow
def test_no_acknowledged_record_is_lost(tmp_path: Path) -> None:
    tally = store.measure(tmp_path, runs=32, rounds=2)
    assert tally.problems == []
    assert tally.kills == 64
    assert tally.acknowledged > 0
    assert tally.listings > 0
