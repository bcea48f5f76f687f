"""Updates that take many times longer than they did."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import is_usable, mean, median, pushed, quantile
from tunewell.records import Finding, Record, StageBegan, Started, Step


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """Updates that take many times longer than before: one long wait, or lasting slowness.

    A step's time is noisy (a busy machine, a long batch, a first compilation), so that a wait must exceed 10 times
    the 99th percentile of the window **and** an absolute floor in seconds that a person would notice. One such wait
    is info, a warning from a minute on; slowness is lasting if the middle of the last 20 updates is 3 times the
    window's and half a second above it. The share of time spent waiting for data says where to look. Evaluations
    and saves are not in a step's time.
    """

    window: Annotated[int, Meta(ge=20)] = 200
    """Updates compared with."""
    armed: Annotated[int, Meta(ge=10)] = 50
    """Updates of a stage before anything is judged; the first ones compile and fill caches."""
    factor: Annotated[float, Meta(gt=1)] = 10.0
    """One wait, as a multiple of the 99th percentile."""
    floor_seconds: Annotated[float, Meta(gt=0)] = 5.0
    """Shorter waits are never told."""
    severe_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """One wait from here on is a warning."""
    recent: Annotated[int, Meta(ge=5)] = 20
    """Updates that lasting slowness is judged by."""
    slower: Annotated[float, Meta(gt=1)] = 3.0
    """Lasting slowness, as a multiple of the window's middle."""
    slower_seconds: Annotated[float, Meta(gt=0)] = 0.5
    """Lasting slowness costs at least this much an update."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"seconds": [], "data_seconds": [], "frozen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the time of each update."""
        if isinstance(record, Started | StageBegan):
            return {**state, "seconds": [], "data_seconds": []}, []
        if isinstance(record, Inspected) and record.frozen is not None:
            return self._looked(state, record.frozen), []
        if not isinstance(record, Step):
            return state, []
        size = self.window + self.recent
        earlier = state["seconds"]
        seconds, waited = (one if is_usable(one) else 0.0 for one in (record.seconds, record.data_seconds))
        state = {
            **state,
            "seconds": pushed(earlier, seconds, size),
            "data_seconds": pushed(state["data_seconds"], waited, self.recent),
        }
        if len(earlier) < self.armed:
            return state, []
        finding = self._wait(earlier, record) or self._slowness(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def _looked(self, state: State, frozen: list[str]) -> State:
        """Begin to compare anew where other layers train than did: with more of them an update rightly takes longer."""
        has_changed = state["frozen"] is not None and state["frozen"] != frozen
        known = {**state, "frozen": frozen}
        return {**known, "seconds": [], "data_seconds": []} if has_changed else known

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = (
            "" if len(state["seconds"]) > self.armed else f"fewer than {self.armed} updates to compare with"
        )
        return judged(state, blind=blind, fine="no update took many times longer than those before")

    def _wait(self, earlier: list[float], step: Step) -> Finding | None:
        if not is_usable(step.seconds) or step.seconds < self.floor_seconds:
            return None
        if step.seconds < self.factor * quantile(earlier, 0.99):
            return None
        usual = quantile(earlier, 0.99)
        share = step.data_seconds / step.seconds
        return _finding(
            step,
            severity="warning" if step.seconds >= self.severe_seconds else "info",
            summary=f"Step {step.step} took {step.seconds:.1f} s; 99 of 100 before it took under {usual:.2g} s.",
            share=share,
            usual=usual,
            now=step.seconds,
            onset=step.step,
        )

    def _slowness(self, state: State, step: Step) -> Finding | None:
        seconds = state["seconds"]
        before, recent = seconds[: -self.recent], seconds[-self.recent :]
        if len(before) < self.armed:
            return None
        now = median(recent)
        if now < self.slower_seconds:
            return None
        usual = median(before)
        if now < self.slower * usual or now - usual < self.slower_seconds:
            return None
        return _finding(
            step,
            severity="warning",
            summary=f"Updates take {now:.2g} s since about step {step.step - self.recent + 1}; before, {usual:.2g} s.",
            share=mean(state["data_seconds"]) / mean(recent),
            usual=usual,
            now=now,
            onset=step.step - self.recent + 1,
        )


def _finding(
    step: Step, *, severity: str, summary: str, share: float, usual: float, now: float, onset: int
) -> Finding:
    is_data = share > 0.5
    data = ["slow storage or network under the data", "rows made anew for each batch"]
    machine = [
        "another program on this machine",
        "memory running out, so that it swaps",
        "a device slowed by heat",
    ]
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="stall",
        code="stall",
        severity="warning" if severity == "warning" else "info",
        summary=f"{summary} {share:.0%} of it was waiting for data.",
        meaning="The result is not in danger; the run takes longer than it needs.",
        causes=data if is_data else machine,
        advice=["put the data on a faster disk"]
        if is_data
        else ["see what else runs here", "set `num_threads`"],
        evidence={"onset": onset, "usual_seconds": usual, "seconds": now, "data_share": share},
    )
