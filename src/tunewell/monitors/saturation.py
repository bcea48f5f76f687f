"""Sigmoid or tanh units stuck at their bounds."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors import _progress
from tunewell.monitors._naming import named
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, StageBegan, Started, Step


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """Nearly all outputs of a bounded activation are at its bounds, while the loss does not fall.

    There its slope is almost zero, and little gradient gets through. Alone it is no fault: gates are meant to open
    and close, a pre-trained pooler's tanh is mostly at ±1, and the last sigmoid of a good classifier is as sure as
    its rows allow. All of those go with a falling or low loss. TheDeepChecker's bound is .85 in half of the units.
    """

    share: Annotated[float, Meta(gt=0, le=1)] = 0.85
    """Share of the outputs within 1 % of a bound."""
    looks: Annotated[int, Meta(ge=1)] = 3
    """Looks in a row."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "vanishing_gradient", "underfitting", "learning_rate_too_low", "plateau", "cannot_fit_a_batch", "collapse",
        "parameters_not_updating",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"progress": _progress.init(), "runs": {}, "looks": 0, "first_seen": {}, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        if isinstance(record, Started | StageBegan):
            return {**self.init(), "looks": state["looks"], "seen": state["seen"]}, []
        if isinstance(record, Step):
            return {**state, "progress": _progress.follow(state["progress"], record)}, []
        if not isinstance(record, Inspected) or record.saturated_units is None:
            return state, []
        stuck = {
            name: share
            for name, share in record.saturated_units.items()
            if math.isfinite(share) and share >= self.share
        }
        state = {
            **state,
            "looks": state["looks"] + 1,
            "runs": {name: state["runs"].get(name, 0) + 1 for name in stuck},
            "first_seen": {name: state["first_seen"].get(name, record.step) for name in stuck},
        }
        lasting = {name: share for name, share in stuck.items() if state["runs"][name] >= self.looks}
        if not lasting or not _progress.stands_still(state["progress"]):
            return state, []
        finding = _finding(record, lasting, min(state["first_seen"][name] for name in lasting))
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        looks = state["looks"]
        blind = "" if looks >= self.looks else "activations were not looked at"
        return judged(state, blind=blind, fine=f"no activation held the run up in {looks} looks")


def _finding(look: Inspected, stuck: dict[str, float], onset: int) -> Finding:
    names = sorted(stuck, key=lambda name: -stuck[name])
    return Finding(
        step=look.step,
        monitor="saturation",
        code="saturation",
        severity="warning",
        summary=(
            f"Of the outputs of {named(names)}, {min(stuck.values()):.0%} or more are at their bounds since update "
            f"{onset}, and the loss does not fall."
        ),
        meaning="At its bounds a sigmoid or tanh has almost no slope, so that the layers below get no gradient.",
        causes=[
            "weights before the activation that are too large, by initialisation or by a learning rate too high",
            "inputs that are not normalised",
        ],
        advice=["normalise the inputs", "lower `learning_rate`, or give the layer before it new weights"],
        evidence={
            "onset": onset,
            "layers": list(dict.fromkeys(name.rpartition(".")[0] or name for name in names)),
            "activations": names,
            "saturated_units": stuck,
        },
    )
