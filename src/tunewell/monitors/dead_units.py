"""Activations that have gone silent and can't come back."""

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


class DeadUnits(msgspec.Struct, frozen=True, kw_only=True):
    """Nearly all units of an activation give nothing, whatever the input; or most do, and the run does not learn.

    A ReLU unit that is silent for every row passes no gradient on, so that nothing wakes it. Many silent units are no
    fault in themselves: in trained ReLU networks most rest for any one input, deep ones begin with about
    half of their units silent for a whole batch, and what is left can learn (DeepDiagnosis alarms on 58 healthy
    networks by that sign alone). So either a layer must be as good as switched off, or the harm must show in the loss.
    """

    dead: Annotated[float, Meta(gt=0, le=1)] = 0.95
    """Share of silent units from which a layer does nothing: the rest can't carry what it should."""
    most: Annotated[float, Meta(gt=0, le=1)] = 0.7
    """Share that counts when the loss does not fall; beyond the half that is usual in deep networks."""
    looks: Annotated[int, Meta(ge=1)] = 3
    """Looks in a row."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "vanishing_gradient", "underfitting", "learning_rate_too_low", "plateau", "cannot_fit_a_batch", "collapse",
        "parameters_not_updating", "inputs_unrelated", "label_noise",
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
        if not isinstance(record, Inspected) or all(map(math.isnan, (record.silent_units or {}).values())):
            return state, []
        stands_still = _progress.stands_still(state["progress"])
        silent = {
            name: share
            for name, share in (record.silent_units or {}).items()
            if math.isfinite(share) and share >= self.most
        }
        state = {
            **state,
            "looks": state["looks"] + 1,
            "runs": {name: state["runs"].get(name, 0) + 1 for name in silent},
            "first_seen": {name: state["first_seen"].get(name, record.step) for name in silent},
        }
        enough = self.most if stands_still else self.dead
        lasting = {
            name: share
            for name, share in silent.items()
            if share >= enough and state["runs"][name] >= self.looks
        }
        if not lasting:
            return state, []
        onset = min(state["first_seen"][name] for name in lasting)
        finding = _finding(record, lasting, onset, stands_still)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] >= self.looks else "activations were not looked at, or there are none"
        return judged(state, blind=blind, fine=f"no activation was silent in {state['looks']} looks")


def _finding(look: Inspected, silent: dict[str, float], onset: int, stands_still: bool) -> Finding:
    names = sorted(silent, key=lambda name: -silent[name])
    harm = ", and the loss does not fall" if stands_still else ""
    return Finding(
        step=look.step,
        monitor="dead_units",
        code="dead_units",
        severity="warning",
        summary=(
            f"At update {look.step}, {min(silent.values()):.0%} or more of the units of {named(names)} gave nothing for "
            f"any row{harm}."
        ),
        meaning="No gradient passes a silent unit, so that it stays silent, and layers below it learn nothing through it.",
        causes=[
            "biases far below zero, by their initialisation or by steps that were too large",
            "a learning rate that is or was too high",
            "inputs on a scale that the weights are not made for",
        ],
        advice=[
            "give the layer before the activation new weights, with a bias of zero",
            "lower `learning_rate`",
            "use a leaky activation",
        ],
        evidence={
            "onset": onset,
            "layers": list(dict.fromkeys(name.rpartition(".")[0] or name for name in names)),
            "activations": names,
            "silent_units": silent,
            "loss_stands_still": stands_still,
        },
    )
