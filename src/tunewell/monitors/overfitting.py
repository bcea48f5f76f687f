"""The model learns its training rows by heart, at the cost of new ones."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import mean
from tunewell.records import Eval, Finding, Record, Started


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """Training loss falls while new rows get worse: the gap grows and the score gains nothing from it.

    All of this must hold for `patience` evaluations in a row since the one of lowest validation loss: the loss is
    above it by `rise`, the mean training loss has fallen by `fall`, and the mean score is not above that evaluation's
    by more than half its standard error. A validation loss that rises while the score rises too is a model growing
    surer of right answers, and silent; so is a small rise after convergence. A warning needs harm: the score well
    below its best, or a loss so much higher that the model's probabilities can't be believed.
    """

    metric: str = "loss"
    """Key of `Eval.metrics`, or ``loss``."""
    patience: Annotated[int, Meta(ge=1)] = 2
    """Evaluations in a row."""
    rise: Annotated[float, Meta(gt=0)] = 0.1
    """Relative rise of the validation loss that counts at all."""
    rise_harmful: Annotated[float, Meta(gt=0)] = 0.4
    """Relative rise that is harm by itself: three epochs of a usual fine-tuning stay below it."""
    fall: Annotated[float, Meta(gt=0)] = 0.1
    """Relative fall of the training loss."""
    standard_errors: Annotated[float, Meta(gt=0)] = 2.0
    """Fall of the score below its best that is harm."""

    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"lowest": None, "best": None, "since": [], "evaluations": 0, "told": False, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation on the validation split that knows the training loss beside it."""
        if isinstance(record, Started):
            return self.init(), []
        if not isinstance(record, Eval) or record.split != "validation" or record.train_loss is None:
            return state, []
        score, loss = _scores.value(record, self.metric), _scores.value(record, "loss")
        if score is None or loss is None:
            return state, []
        now = {"step": record.step, "loss": loss, "train_loss": record.train_loss, "score": score}
        best, lowest = state["best"], state["lowest"]
        if best is None or _scores.gain(score, best, self.metric) > 0:
            best = score
        state = {**state, "best": best, "evaluations": state["evaluations"] + 1}
        if lowest is None or loss <= lowest["loss"]:
            return {**state, "lowest": now, "since": [], "told": False}, []
        since = [*state["since"], now][-self.patience :]
        state = {**state, "since": since}
        if state["told"] or len(since) < self.patience or not self._holds(lowest, since, record.rows):
            return state, []
        finding = self._finding(state, record)
        if finding is None:
            return state, []
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        enough = state["evaluations"] > self.patience
        blind = "" if enough else f"it takes {self.patience + 1} evaluations on validation rows"
        return judged(state, blind=blind, fine="scores on new rows did not fall as training loss fell")

    def _holds(self, lowest: dict[str, Any], since: list[dict[str, Any]], rows: int) -> bool:
        has_fallen = since[-1]["train_loss"] < (1 - self.fall) * lowest["train_loss"]
        has_risen = all(one["loss"] > (1 + self.rise) * lowest["loss"] for one in since)
        gained = _scores.gain(mean([one["score"] for one in since]), lowest["score"], self.metric)
        return has_fallen and has_risen and gained <= 0.5 * _scores.noise(lowest["score"], rows, self.metric)

    def _finding(self, state: State, record: Eval) -> Finding | None:
        lowest, now = state["lowest"], state["since"][-1]
        lost = -_scores.gain(mean([one["score"] for one in state["since"]]), state["best"], self.metric)
        noise = _scores.noise(state["best"], record.rows, self.metric)
        score_fell = noise > 0 and lost > self.standard_errors * noise
        if not score_fell and now["loss"] < (1 + self.rise_harmful) * lowest["loss"]:
            return None
        is_loss = self.metric == "loss"
        score = "" if is_loss else f"; {self.metric} went from {lowest['score']:.3g} to {now['score']:.3g}"
        return Finding(
            step=record.step,
            monitor="overfitting",
            code="overfitting",
            severity="warning",
            summary=(
                f"Since step {lowest['step']} the training loss fell from {lowest['train_loss']:.3g} to "
                f"{now['train_loss']:.3g} while the validation loss rose from {lowest['loss']:.3g} to "
                f"{now['loss']:.3g}{score}."
            ),
            meaning="The model learns its training rows by heart. On new rows it is surer than it is right.",
            causes=[
                "too many passes over too few rows",
                "too little regularisation",
                "wrong labels being memorised",
            ],
            advice=[
                f"take the model of step {lowest['step']}: set `early_stopping_patience`, fewer `num_epochs`",
                "raise `dropout`, `weight_decay` or `label_smoothing`; train fewer layers in `stages`",
                "more training rows",
            ],
            evidence={
                "onset": lowest["step"],
                "metric": self.metric,
                "lowest": lowest,
                "now": now,
                "best": state["best"],
                "score_fell": score_fell,
            },
        )
