"""Damage to any file of a run is noticed, named, and leads to nothing wrong: a sample of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.reliability import damage


@pytest.mark.slow
def test_no_damage_is_missed(tmp_path: Path) -> None:
    found = damage.measure(tmp_path, flips=3, seed=7, every=5)
    for run in ("crashed", "finished"):
        assert [
            (each.damage.file, each.damage.what, each.came_to) for each in found[run] if each.missed
        ] == []
        assert all(each.named or not each.noticed for each in found[run])
        assert {each.came_to for each in found[run]} == {"equal", "refused"}
    assert "| all | " in damage.table(found["crashed"])
