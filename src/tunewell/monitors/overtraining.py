"""No better evaluation for a while: training on gains nothing."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, StageBegan, Started


class Overtraining(msgspec.Struct, frozen=True, kw_only=True):
    """`patience` evaluations in a row without one that is better by more than `threshold`: what early stopping asks.

    This is no sickness: most good runs end so, and the best model is kept. It is told as info, once for each best
    in a stage, and acted on only if the recipe sets `early_stopping_patience`.
    """

    metric: str = "loss"
    """Key of `Eval.metrics`, or ``loss``."""
    patience: Annotated[int, Meta(ge=1)] = 10
    """Evaluations without gain; SageMaker Debugger's default."""
    threshold: Annotated[float, Meta(ge=0)] = 0.0
    """Gain that is still none."""

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
            return {**state, "without": 0}, []  # other layers learn now: what stood still may move again
        if not isinstance(record, Eval) or record.split != "validation":
            return state, []
        score = _scores.value(record, self.metric)
        state = {**state, "evaluations": state["evaluations"] + (score is not None)}
        best = state["best"]
        if score is not None and (best is None or _scores.gain(score, best, self.metric) > self.threshold):
            return {**state, "best": score, "best_step": record.step, "without": 0}, []
        state = {**state, "without": state["without"] + 1}
        if state["without"] != self.patience or best is None:
            return state, []
        finding = self._finding(state, record, score)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["evaluations"] else f"no evaluation gave `{self.metric}`"
        return judged(
            state, blind=blind, fine=f"the score did not stand still for {self.patience} evaluations"
        )

    def _finding(self, state: State, record: Eval, score: float | None) -> Finding:
        best = f"{self.metric} {state['best']:.4g} at step {state['best_step']}"
        return Finding(
            step=record.step,
            monitor="overtraining",
            code="overtraining",
            severity="info",
            summary=f"The last {self.patience} evaluations were not better than the best, {best}.",
            meaning="More training of this kind is not expected to give a better model; the best one is kept.",
            causes=[
                "the model has learned what these rows can teach it",
                "the score is noisy on few validation rows",
            ],
            advice=[
                "stop here",
                "set `early_stopping_patience` to have this done",
                "more or cleaner training rows",
            ],
            evidence={
                "onset": state["best_step"],
                "metric": self.metric,
                "best": state["best"],
                "best_step": state["best_step"],
                "now": score,
                "evaluations": state["without"],
            },
        )
