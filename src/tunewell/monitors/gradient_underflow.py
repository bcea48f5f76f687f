"""Gradients too small for their number format."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._naming import named
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class GradientUnderflow(msgspec.Struct, frozen=True, kw_only=True):
    """Many gradient numbers are exactly zero, and none of the others comes near to zero: small ones were rounded away.

    Zeros alone are no fault: sparse ReLU units, padding and inputs that are zero make any share of them. But the
    numbers beside those zeros are spread as all gradients are, and among a thousand of them the smallest is about a
    thousandth of the usual size. Rounding to half precision leaves a hole instead: nothing between zero and 6e-8,
    its smallest number, and if the usual size is itself near that, most are lost. So both are asked for, zeros and the hole,
    in at least half of the layers. The hole's width is measured beside the usual size, so that neither the format nor
    a scale that was divided away again matters.

    Where nearly all is lost too few numbers are left to show a hole. Then it is told by the output layer: units that
    speak give every weight behind them some gradient, so that zeros there, and next to nothing below, are rounding's.
    """

    zeros: Annotated[float, Meta(gt=0, lt=1)] = 0.3
    """Share of exact zeros in a layer's gradient."""
    all: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    """Share of exact zeros from which a layer counts though too few other numbers are left to show a hole."""
    silent: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of a layer's units that are silent, from which they may be why no gradient comes through."""
    hole: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Smallest number beside the usual size; of a thousand normal numbers one in e⁴⁰ samples has such a hole."""
    layers: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the layers that show both."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks in a row."""

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "vanishing_gradient", "underfitting", "learning_rate_too_low", "plateau", "parameters_not_updating",
        "cannot_fit_a_batch", "epsilon_too_large", "oscillation", "saturation",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"runs": 0, "looks": 0, "first_seen": None, "told": False, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        if isinstance(record, Started):
            return {**self.init(), "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or not record.zero_gradients or not record.smallest_gradients:
            return state, []
        rounded = self._rounded(record.zero_gradients, record.smallest_gradients)
        # Where all is lost there is nothing left beside which a hole could be seen.
        lost = [
            layer
            for layer, share in record.zero_gradients.items()
            if share > self.all and layer not in rounded
        ]
        enough = 1 if state["told"] else self.layers * len(record.zero_gradients)
        is_sick = bool(rounded) and len(rounded) + len(lost) >= enough
        is_sick = is_sick or (len(lost) >= enough and self._is_wiped_out(record))
        state = {
            **state,
            "looks": state["looks"] + 1,
            "runs": state["runs"] + 1 if is_sick else 0,
            "first_seen": (state["first_seen"] or record.step) if is_sick else None,
        }
        if state["runs"] < self.looks:
            return state, []
        finding = _finding(record, rounded, lost, state["first_seen"])
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        looks = state["looks"]
        blind = "" if looks >= self.looks else "small gradients were not looked at"
        return judged(state, blind=blind, fine=f"small gradients were there at {looks} looks")

    def _is_wiped_out(self, look: Inspected) -> bool:
        zeros = look.zero_gradients or {}
        silent = (look.silent_units or {}).values()
        speaks = all(share < self.silent for share in silent)  # not so where it is NaN: it can't be told
        return zeros.get(look.output_layer, 0.0) >= self.zeros and speaks

    def _rounded(self, zeros: dict[str, float], smallest: dict[str, float]) -> list[str]:
        return [
            layer
            for layer, share in zeros.items()
            if share >= self.zeros
            and math.isfinite(smallest.get(layer, math.nan))
            and smallest[layer] >= self.hole
        ]


def _finding(look: Inspected, rounded: list[str], lost: list[str], onset: int) -> Finding:
    layers = [*rounded, *lost]
    zeros, smallest = look.zero_gradients or {}, look.smallest_gradients or {}
    shares = [zeros[layer] for layer in layers]
    return Finding(
        step=look.step,
        monitor="gradient_underflow",
        code="gradient_underflow",
        severity="warning",
        summary=(
            f"In {len(layers)} of {len(zeros)} layers {min(shares):.0%} to {max(shares):.0%} of the gradient is exactly "
            f"zero{', and nothing else is small' if rounded else ''} ({named(layers)})."
        ),
        meaning="Small gradients are rounded to zero, so that most weights learn nothing.",
        causes=[
            "half precision (fp16) without loss scaling, or with a scale that is too small",
            "a loss divided by a large number",
        ],
        advice=["use `torch.amp.GradScaler`, or bf16", "set `precision: bf16` or `fp32`"],
        evidence={
            "onset": onset,
            "layers": layers,
            "zero_gradients": zeros,
            "smallest_gradients": smallest,
        },
    )
