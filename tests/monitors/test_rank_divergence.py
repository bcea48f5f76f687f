"""Weights of several processes."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.rank_divergence import RankDivergence
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def test_the_ranks_that_are_apart_are_named(look: Look, found: Found) -> None:
    records: list[Record] = [look(20, digests=["a", "a", "a"]), look(40, digests=["a", "b", "a"])]
    first = found(RankDivergence(), records)[0]
    assert (first.step, first.severity) == (40, "critical")
    assert first.evidence["ranks"] == [1]


def test_one_process_can_not_differ(look: Look) -> None:
    monitor = RankDivergence()
    state, found = monitor.update(monitor.init(), look(20, digests=["a"]))
    assert found == []
    assert monitor.verdict(state).kind == "blind"
