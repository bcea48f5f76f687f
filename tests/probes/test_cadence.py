"""When a run is looked into."""

from __future__ import annotations

from tunewell.probes.cadence import is_due


def looks(total: int | None, every: int = 20, until: int = 400) -> list[int]:
    return [done + 1 for done in range(until) if is_due(done, every, total)]


def test_first_updates_then_twice_as_often_in_the_first_quarter() -> None:
    assert looks(120, until=120) == [1, 2, 3, 11, 21, 31, 41, 61, 81, 101]


def test_a_long_run_pays_for_no_more_than_twenty_early_looks() -> None:
    assert looks(None) == looks(10**6)
    assert len(looks(10**6)) == 3 + 20 + 9


def test_never_and_always() -> None:
    assert looks(100, every=0) == []
    assert looks(100, every=1, until=5) == [1, 2, 3, 4, 5]
