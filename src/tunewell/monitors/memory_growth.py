"""Memory that grows from update to update until there is none left."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._naming import size
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import median
from tunewell.records import Finding, Record, Started


class MemoryGrowth(msgspec.Struct, frozen=True, kw_only=True):
    """Memory grows steadily, and at this pace reaches what the process may hold before the run ends.

    Growth alone is no fault: optimizers and allocators take what they need in the first updates, and the longest
    batch comes once. So the first looks don't count, the slope is the median of the slopes between all pairs of looks
    (Theil and Sen), nearly all pairs must rise, the later half must go on as the earlier did, and the
    limit must come before the run's last update.
    """

    skipped: Annotated[int, Meta(ge=0)] = 10
    """Updates that are not looked at."""
    looks: Annotated[int, Meta(ge=5)] = 6
    """Looks at least."""
    rising: Annotated[float, Meta(gt=0.5, le=1)] = 0.9
    """Share of the pairs of looks that must rise."""
    window: Annotated[int, Meta(ge=6)] = 12
    """Looks kept."""

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = ("stall",)

    def init(self) -> State:
        """Return the state before any record."""
        return {"total": 0, "points": [], "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look at the memory."""
        if isinstance(record, Started):
            return {**self.init(), "total": record.total_steps, "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or record.memory_bytes is None or record.step <= self.skipped:
            return state, []
        if record.memory_limit is None:
            return state, []
        points = [*state["points"], [record.step, record.memory_bytes]][-self.window :]
        state = {**state, "points": points}
        pace = self._pace(points)
        left = record.memory_limit - record.memory_bytes
        if pace is None or record.step + left / pace > state["total"]:
            return state, []
        finding = _finding(record, points, pace)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = (
            "" if len(state["points"]) >= self.looks else "memory was looked at too seldom, or has no limit"
        )
        if not blind and not state["total"]:
            blind = "the run's length is not known"
        return judged(state, blind=blind, fine="at its pace, memory lasts to the end of the run")

    def _pace(self, points: list[list[int]]) -> float | None:
        """Return the growth in bytes an update, or None where it is not steady."""
        if len(points) < self.looks:
            return None
        slopes = _slopes(points)
        if sum(slope > 0 for slope in slopes) < self.rising * len(slopes):
            return None
        half = len(points) // 2
        earlier, later = median(_slopes(points[:half])), median(_slopes(points[half:]))
        return median(slopes) if later > 0.5 * earlier and later > 0 else None


def _slopes(points: list[list[int]]) -> list[float]:
    return [
        (there[1] - here[1]) / (there[0] - here[0])
        for here, there in combinations(points, 2)
        if there[0] > here[0]
    ] or [0.0]


def _finding(look: Inspected, points: list[list[int]], pace: float) -> Finding:
    held, limit = look.memory_bytes or 0, look.memory_limit or 0
    full = look.step + int((limit - held) / pace)
    return Finding(
        step=look.step,
        monitor="memory_growth",
        code="memory_growth",
        severity="warning",
        summary=(
            f"Memory grows by {size(pace)} an update: {size(held)} of {size(limit)} are held, and the limit comes at "
            f"about update {full}."
        ),
        meaning="The process will be ended for want of memory before the run is done.",
        causes=[
            "losses or outputs kept with their graph, such as a sum of `loss` in place of `loss.item()`",
            "a list or cache that grows with each batch",
        ],
        advice=[
            "keep numbers, not tensors: `loss.item()` or `loss.detach()`",
            "save often until it is found",
        ],
        evidence={"onset": points[0][0], "bytes_per_update": pace, "full_at": full, "points": points},
    )
