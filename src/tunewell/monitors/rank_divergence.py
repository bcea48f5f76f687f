"""Processes that should train one model train several."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import msgspec

from tunewell.inspections import Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class RankDivergence(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of the processes of one data-parallel run are no longer equal.

    They begin equal and get equal updates, so that their digests are equal to the last bit at every update; the first
    difference is a fault (TrainCheck finds such faults by the same comparison). Each rank then trains a model of its
    own, and the one that is saved has seen its own share of the rows only.
    """

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "divergence",
        "oscillation",
        "underfitting",
        "plateau",
        "loss_spike",
    )

    def init(self) -> State:
        """Return the state before any record."""
        return {"looks": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        if isinstance(record, Started):
            return {**self.init(), "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or not record.digests or len(record.digests) < 2:
            return state, []
        state = {**state, "looks": state["looks"] + 1}
        if len(set(record.digests)) == 1:
            return {**state, "first_seen": None}, []
        state = {**state, "first_seen": state["first_seen"] or record.step}
        finding = _finding(record.step, record.digests, state["first_seen"])
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] else "one process trains, or weights were not compared"
        return judged(state, blind=blind, fine=f"weights of all ranks were equal at {state['looks']} looks")


def _finding(step: int, digests: list[str], onset: int) -> Finding:
    most, count = Counter(digests).most_common(1)[0]
    apart = [rank for rank, digest in enumerate(digests) if digest != most]
    ranks = ", ".join(str(rank) for rank in apart[:8]) + (" …" if len(apart) > 8 else "")
    return Finding(
        step=step,
        monitor="rank_divergence",
        code="rank_divergence",
        severity="critical",
        summary=f"At update {step} only {count} of {len(digests)} processes hold the same weights; apart: rank {ranks}.",
        meaning="Each process trains a model of its own, and what is saved is one of them.",
        causes=[
            "parameters that were changed or added after the model was wrapped for distributed training",
            "an update that only some ranks made, such as a skipped or clipped one",
            "layers used on some ranks only, or different seeds of new weights",
        ],
        advice=[
            "stop, and go back to the last checkpoint before this look",
            "let rank 0 send its weights to all others, and find the first update after which they differ",
        ],
        evidence={"onset": onset, "ranks": apart, "digests": digests[:64]},
    )
