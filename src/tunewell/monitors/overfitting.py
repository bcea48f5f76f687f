"""The model learns its training rows by heart, at the cost of new ones."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import is_usable, mean
from tunewell.records import Eval, Finding, Record, Started, Step


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """Training loss falls while new rows get worse: the gap grows and the score gains nothing from it.

    All of this must hold for `patience` evaluations in a row since the one of lowest validation loss: the loss is
    above it by `rise`, which matters beside the loss of guessing; the mean training loss has fallen by `fall`, to less
    than half of the validation loss; and the mean score is not above that evaluation's by more than half its standard
    error. A validation loss that rises while the score rises too is a model growing surer of right answers, and silent;
    so is a small rise after convergence. A warning needs harm: the score well below its best, or a loss so much higher
    that the model's probabilities can't be believed.

    **Learned by heart**: once the training loss is a tenth of the validation loss, after several passes over the rows,
    there is nothing more to learn from them. Then half that rise is harm, and the score need only stand still: while
    rows were being memorised it may well have risen.
    """

    metric: str = ""
    """Key of `Eval.metrics`, or ``loss``; empty: the first metric that evaluations give, else ``loss``."""
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
    gap: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Training loss beside the validation loss; a run whose scores swing with the model keeps both close together."""
    by_heart: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    """The same where the rows are learned by heart."""
    passes: Annotated[float, Meta(ge=0)] = 5.0
    """Passes over the training rows before they can be said to be learned by heart."""
    matters: Annotated[float, Meta(ge=0)] = 0.05
    """Rise of the validation loss as a share of guessing's loss (or of the first validation loss)."""

    reads: ClassVar[tuple[type, ...]] = (Started, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "scale": None, "rows": 0, "seen_rows": 0, "lowest": None, "best": None, "since": [],
            "evaluations": 0, "told": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation on the validation split that knows the training loss beside it."""
        match record:
            case Started():
                scale = math.log(record.num_classes) if record.num_classes > 1 else None
                return {**self.init(), "scale": scale, "rows": record.num_rows.get("train", 0)}, []
            case Step():
                return {**state, "seen_rows": state["seen_rows"] + record.rows}, []
            case Eval() if record.split == "validation" and record.train_loss is not None:
                known = msgspec.structs.replace(self, metric=_scores.chosen(record, self.metric))
                return known._evaluated(state, record, record.train_loss)
        return state, []

    def _evaluated(self, state: State, record: Eval, train_loss: float) -> tuple[State, list[Finding]]:
        score, loss = _scores.value(record, self.metric), _scores.value(record, "loss")
        if score is None or loss is None or not is_usable(train_loss):
            return state, []
        now = {
            "step": record.step,
            "loss": loss,
            "train_loss": train_loss,
            "score": score,
            "best": state["best"],
        }
        best, lowest = state["best"], state["lowest"]
        state = {**state, "scale": state["scale"] or abs(loss), "evaluations": state["evaluations"] + 1}
        if lowest is None or loss <= lowest["loss"]:
            return {**state, "lowest": now, "best": self._better(best, score), "since": [], "told": False}, []
        since = [*state["since"], now][-self.patience :]
        state = {**state, "since": since}
        is_due = not state["told"] and len(since) == self.patience
        finding = self._judge(state, record) if is_due else None
        state = {**state, "best": self._better(best, score)}
        if finding is None:
            return state, []
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def _better(self, best: float | None, score: float) -> float:
        return score if best is None or _scores.gain(score, best, self.metric) > 0 else best

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        enough = state["evaluations"] > self.patience
        blind = "" if enough else f"it takes {self.patience + 1} evaluations on validation rows"
        return judged(state, blind=blind, fine="scores on new rows did not fall as training loss fell")

    def _judge(self, state: State, record: Eval) -> Finding | None:
        lowest, since, best = state["lowest"], state["since"], state["best"]
        base = max(1e-12, lowest["loss"])
        least, rise = min(one["loss"] for one in since) / base - 1, since[-1]["loss"] / base - 1
        grown = since[-1]["loss"] - lowest["loss"]
        train_loss = since[-1]["train_loss"]
        has_fallen = train_loss < (1 - self.fall) * lowest["train_loss"]
        if not has_fallen or least < self.rise or grown < self.matters * state["scale"]:
            return None
        score = mean([one["score"] for one in since])
        noise = _scores.noise(best, record.rows, self.metric)
        lost = -_scores.gain(score, best, self.metric)
        score_fell = noise > 0 and lost > self.standard_errors * noise
        share = train_loss / since[-1]["loss"]
        has_gained = _scores.gain(score, lowest["score"], self.metric) > 0.5 * noise
        passed = state["seen_rows"] / state["rows"] if state["rows"] else record.epoch
        gained = _scores.gain(score, since[0]["best"], self.metric)
        by_heart = share < self.by_heart and passed >= self.passes and gained <= 0.5 * noise
        is_harmed = share < self.gap and not has_gained and (score_fell or rise >= self.rise_harmful)
        if not is_harmed and not (by_heart and rise >= 0.5 * self.rise_harmful):
            return None
        return self._finding(state, record, score_fell, by_heart)

    def _finding(self, state: State, record: Eval, score_fell: bool, by_heart: bool) -> Finding:
        lowest, now = state["lowest"], state["since"][-1]
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
                "lasting": True,
                "onset": lowest["step"],
                "metric": self.metric,
                "lowest": lowest,
                "now": now,
                "best": state["best"],
                "score_fell": score_fell,
                "by_heart": by_heart,
            },
        )
