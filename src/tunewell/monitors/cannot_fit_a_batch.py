"""A model that can't even learn one small batch by heart."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tunewell.inspections import Tested
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started, Step


class CannotFitABatch(msgspec.Struct, frozen=True, kw_only=True):
    """The self-test that learns a few rows by heart failed: something between inputs and loss is broken.

    Any sound model, loss and optimizer can do that (the oldest of all checks), so that no curve has to be waited
    for. It says that there is a fault and not which: it is told with the second update, when whatever looks inside
    the first one had its chance to name the cause, and then this is only its consequence. Another self-test that
    failed is named as the cause.
    """

    reads: ClassVar[tuple[type, ...]] = (Started, Tested, Step)
    explains: ClassVar[tuple[str, ...]] = ("underfitting", "plateau")

    def init(self) -> State:
        """Return the state before any record."""
        return {"tested": False, "failed": None, "numbers": {}, "others": [], "updates": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the self-tests once training has begun."""
        match record:
            case Started():
                return {**self.init(), "seen": state["seen"]}, []
            case Tested(name="fits_one_batch", passed=bool()):
                failed = None if record.passed else record.detail
                return {**state, "tested": True, "failed": failed, "numbers": dict(record.numbers)}, []
            case Tested(passed=False):
                return {**state, "others": [*state["others"], f"{record.name}: {record.detail}"]}, []
            case Step():
                state = {**state, "updates": state["updates"] + 1}
                if state["failed"] is None or state["updates"] != 2:
                    return state, []
                finding = _finding(state, record.step)
                return {**state, "seen": finding.summary}, [finding]
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["tested"] else "no self-test learned a batch by heart"
        return judged(state, blind=blind, fine="a small batch can be learned by heart")


def _finding(state: State, step: int) -> Finding:
    return Finding(
        step=step,
        monitor="cannot_fit_a_batch",
        code="cannot_fit_a_batch",
        severity="warning",
        summary=f"Self-test before update 1: {state['failed']}",
        meaning="What can't learn a few rows by heart will not learn many: the model, loss or targets are broken.",
        causes=[
            *state["others"],
            "targets that don't belong to the inputs, or are shifted",
            "a loss that does not fit the model's outputs, such as a second softmax",
            "layers that are frozen, cut off or saturated",
        ],
        advice=[
            "look at some rows with their targets as the model gets them",
            "train on those rows alone until it works",
        ],
        evidence={"onset": 1, "lasting": True, "failed_tests": state["others"], **state["numbers"]},
    )
