"""SIGTERM and Ctrl-C in every phase: saved, 143 or 130, and a resume makes up for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchmarks.reliability import signals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.mark.slow
def test_a_signal_in_any_phase_loses_nothing(tmp_path: Path) -> None:
    results = signals.measure(tmp_path, in_turn=True)
    assert [(each.moment, each.signal, each.problems) for each in results if each.problems] == []
