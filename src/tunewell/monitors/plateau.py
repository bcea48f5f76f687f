"""The validation score moves hardly at all from one evaluation to the next."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, StageBegan, Started


class Plateau(msgspec.Struct, frozen=True, kw_only=True):
    """`patience` evaluations in a row without a relative gain: the moment for a smaller learning rate.

    The well-known schedules that wait for this ask for a relative gain of 1e-4 and wait for 10 evaluations of an
    epoch each; a fine-tuning run has few evaluations, so that 3 are waited for. It is no sickness, only info, and
    acted on only under `lr_scheduler: plateau`. After it is told, counting begins anew.
    """

    metric: str = "loss"
    """Key of `Eval.metrics`, or ``loss``."""
    patience: Annotated[int, Meta(ge=1)] = 3
    """Evaluations without gain."""
    threshold: Annotated[float, Meta(ge=0)] = 1e-4
    """Relative gain that is still none."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Eval)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"best": None, "best_step": 0, "without": 0, "evaluations": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation on the validation split."""
        if isinstance(record, Started):
            return self.init(), []
        if isinstance(record, StageBegan):
            return {**state, "without": 0}, []
        if not isinstance(record, Eval) or record.split != "validation":
            return state, []
        score = _scores.value(record, self.metric)
        best = state["best"]
        state = {**state, "evaluations": state["evaluations"] + (score is not None)}
        if score is not None and (
            best is None or _scores.gain(score, best, self.metric) > self.threshold * abs(best)
        ):
            return {**state, "best": score, "best_step": record.step, "without": 0}, []
        without = state["without"] + 1
        if without < self.patience or best is None:
            return {**state, "without": without}, []
        finding = self._finding(state, record, score)
        return {**state, "without": 0, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        enough = state["evaluations"] > self.patience
        blind = "" if enough else f"it takes {self.patience + 1} evaluations with `{self.metric}`"
        return judged(state, blind=blind, fine=f"the score kept moving within {self.patience} evaluations")

    def _finding(self, state: State, record: Eval, score: float | None) -> Finding:
        return Finding(
            step=record.step,
            monitor="plateau",
            code="plateau",
            severity="info",
            summary=f"In {self.patience} evaluations {self.metric} has not gained (best {state['best']:.4g}).",
            meaning="At this learning rate the run moves about without getting better.",
            causes=["the learning rate is too high for the last bit", "the model has learned what it can"],
            advice=[
                "lower `learning_rate`, or set `lr_scheduler: plateau` to have this done",
                "or stop here",
            ],
            evidence={
                "onset": state["best_step"],
                "metric": self.metric,
                "best": state["best"],
                "best_step": state["best_step"],
                "now": score,
            },
        )
