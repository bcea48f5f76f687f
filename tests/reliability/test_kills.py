"""Runs killed with SIGKILL again and again end as the runs that nothing happened to."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.reliability import kills

KILLS = 200


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_and_change_nothing(tmp_path: Path) -> None:
    tallies = kills.measure(tmp_path, KILLS, seed=1, workers=2)
    assert [text for tally in tallies.values() for text in tally.lost] == []
    assert [text for tally in tallies.values() for text in tally.unequal] == []
    assert sum(tally.kills for tally in tallies.values()) >= KILLS
    places = {place for tally in tallies.values() for place in tally.places}
    assert {"saving", "evaluation", "micro-batch", "export"} <= places
