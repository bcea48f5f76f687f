"""Softmax of what is a softmax already."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from tunewell.inspections import Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class DoubleSoftmax(msgspec.Struct, frozen=True, kw_only=True):
    """The loss applies softmax to outputs that are probabilities already.

    Then no answer can be sure: with every row right and certain, the loss still is log(1 + (classes - 1) / e), and
    gradients are small wherever the model is confident, be it wrong or right. The operations of the loss themselves
    are looked at, so that no threshold is needed; the logarithm of probabilities, which a loss takes as it should,
    is not meant.
    """

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "underfitting", "learning_rate_too_low", "vanishing_gradient", "plateau", "cannot_fit_a_batch",
        "shifted_labels", "label_noise", "inputs_unrelated", "saturation", "collapse", "gradient_underflow",
        "oscillation",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"classes": 0, "looks": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        if isinstance(record, Started):
            return {**self.init(), "classes": record.num_classes, "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or record.outputs_are_probabilities is None:
            return state, []
        state = {**state, "looks": state["looks"] + 1}
        if not record.outputs_are_probabilities:
            return {**state, "first_seen": None}, []
        state = {**state, "first_seen": state["first_seen"] or record.step}
        finding = _finding(record, record.num_outputs or state["classes"], state["first_seen"])
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] else "the operations of the loss were not looked at"
        return judged(state, blind=blind, fine="the loss gets logits, not probabilities")


def _finding(look: Inspected, classes: int, onset: int) -> Finding:
    floor = math.log1p((classes - 1) / math.e) if classes > 1 else None
    least = f" and can't fall below {floor:.3g}" if floor is not None else ""
    return Finding(
        step=look.step,
        monitor="double_softmax",
        code="double_softmax",
        severity="critical",
        summary=f"At update {look.step} the loss took the softmax of probabilities{least}.",
        meaning="Confident answers get almost no gradient, so that the model learns slowly and is never sure.",
        causes=["the model ends with a softmax, and the loss (cross-entropy) has its own"],
        advice=[
            "let the model return logits and take the softmax only for predictions",
            "or use a loss that takes probabilities: `nll_loss(probabilities.log(), targets)`",
        ],
        evidence={"onset": onset, "floor": floor, "classes": classes or None},
    )
