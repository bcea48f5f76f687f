"""Room on the disk."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.disk_running_out import DiskRunningOut
from tunewell.records import Finding, Record, Started

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def test_less_room_than_is_needed_is_told_with_when(
    look: Look, started: Callable[..., Started], found: Found
) -> None:
    first = found(
        DiskRunningOut(), [started(total_steps=500), look(100, disk_free=10**9, disk_needed=4 * 10**9)]
    )[0]
    assert first.evidence["full_at"] == 200


def test_room_enough_is_fine_and_unknown_room_is_unknown(
    look: Look, started: Callable[..., Started], found: Found
) -> None:
    monitor = DiskRunningOut()
    enough = look(100, disk_free=5 * 10**9, disk_needed=4 * 10**9)
    assert found(monitor, [started(), enough]) == []
    assert monitor.verdict(monitor.update(monitor.init(), enough)[0]).kind == "fine"
    assert monitor.verdict(monitor.update(monitor.init(), look(100, disk_free=10**9))[0]).kind == "blind"
