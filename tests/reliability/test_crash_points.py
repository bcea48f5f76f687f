"""A save and a run's end, cut short at a sample of their system calls: nothing is lost, nothing becomes unequal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.reliability import crash_points

EVERY = 37
"""Of all points; a prime number, so that every fault is met. All of them once: docs/reliability.md."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
def test_no_system_call_of_a_save_can_lose_it(tmp_path: Path) -> None:
    if reason := crash_points.why_not():
        pytest.skip(reason)
    tallies = crash_points.measure(tmp_path, EVERY, workers=2)
    assert [text for tally in tallies.values() for text in tally.lost + tally.unequal] == []
    assert {fault for tally in tallies.values() for fault in tally.points} == {*crash_points.FAULTS}
