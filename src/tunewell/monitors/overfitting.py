"""The model learns its training rows by heart, at the cost of new ones."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import is_usable, mean, median
from tunewell.records import Eval, Finding, Record, Started, Step


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """Training loss falls while new rows get worse: the gap grows and the score gains nothing from it.

    All of this must hold for `patience` evaluations in a row since the one of lowest validation loss: the loss is
    above it by `rise`, which matters beside the loss of guessing; the mean training loss has fallen by `fall`, and is
    less than half of the validation loss at each of them; and the mean score is not above that evaluation's by more than
    half its standard error. A validation loss that rises while the score rises too is a model growing surer of right
    answers, and silent; so is a small rise after convergence. A warning needs harm: the score well below its best at
    each evaluation (one alone is a swing), or a loss so much higher that the model's probabilities can't be believed.

    After several passes over the rows more can be known:

    **Far too sure**: validation rows cost more than training rows by half of what guessing costs. Most of what the model
    can tell it knows by heart, and any rise of the validation loss beyond its standard error is that; even if the score
    still gains, unless so few rows are told wrongly that wrong targets among them may explain it. The spread of the rows'
    losses is not known; of losses that are mostly small and seldom large it is about their mean, and the same rows are
    compared, so that the true error is smaller. Where the number of rows is not known, the loss must rise by `rise`.

    **Learned by heart**: once the training loss is a tenth of the validation loss, there is nothing more to learn from
    the rows. Then half that higher loss is harm.

    **At once**: after twice as many passes one evaluation is enough if the loss shows harm and the score is `sure`
    standard errors below its best. Where rows have been seen once or twice such a jump is a swing of the training.
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
    too_sure: Annotated[float, Meta(gt=0)] = 0.5
    """Validation loss minus training loss as a share of guessing's loss (without classes: of what the loss was before
    the first update, or in the first ones): half of all there is to know."""
    wrong: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Share of validation rows told wrongly up to which a gain of the score excuses a rise of the loss: well above the
    wrong targets of real data, a tenth at most as a rule."""
    passes: Annotated[float, Meta(ge=0)] = 5.0
    """Passes over the training rows before they can be said to be learned by heart; fine-tunings make fewer."""
    sure: Annotated[float, Meta(gt=0)] = 4.0
    """Fall of the score at one evaluation that needs no second: 1 in 30,000, since many are looked at."""
    matters: Annotated[float, Meta(ge=0)] = 0.05
    """Rise of the validation loss as a share of guessing's loss (or of the first validation loss)."""

    reads: ClassVar[tuple[type, ...]] = (Started, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "guessing": None, "first": [], "scale": None, "rows": 0, "asked": 0, "seen_rows": 0, "lowest": None,
            "best": None, "since": [], "evaluations": 0, "told": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation on the validation split that knows the training loss beside it."""
        match record:
            case Started():
                guessing = math.log(record.num_classes) if record.num_classes > 1 else None
                rows, asked = (record.num_rows.get(split, 0) for split in ("train", "validation"))
                return {**self.init(), "guessing": guessing, "rows": rows, "asked": asked}, []
            case Step():
                return self._stepped(state, record), []
            case Eval() if record.split == "validation" and record.train_loss is None:
                return self._not_trained_yet(state, record), []
            case Eval() if record.split == "validation":
                known = msgspec.structs.replace(self, metric=_scores.chosen(record, self.metric))
                return known._evaluated(state, record)
        return state, []

    def _not_trained_yet(self, state: State, record: Eval) -> State:
        loss = _scores.value(record, "loss")
        if loss is None or state["seen_rows"] or state["guessing"] is not None:
            return state
        return {**state, "guessing": abs(loss)}

    def _stepped(self, state: State, step: Step) -> State:
        state = {**state, "seen_rows": state["seen_rows"] + step.rows}
        if state["guessing"] is None and is_usable(step.loss):
            first = [*state["first"], abs(step.loss)]
            state |= {"first": first, "guessing": median(first) if len(first) == _learning.FEW else None}
        return state

    def _evaluated(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        score, loss = _scores.value(record, self.metric), _scores.value(record, "loss")
        train_loss = record.train_loss
        if score is None or loss is None or train_loss is None or not is_usable(train_loss):
            return state, []
        now = {"step": record.step, "loss": loss, "train_loss": train_loss, "score": score}
        best, lowest = state["best"], state["lowest"]
        scale = state["scale"] or state["guessing"] or abs(loss)
        state = {**state, "scale": scale, "evaluations": state["evaluations"] + 1}
        if lowest is None or loss <= lowest["loss"]:
            return {**state, "lowest": now, "best": self._better(best, score), "since": [], "told": False}, []
        since = [*state["since"], now][-self.patience :]
        state = {**state, "since": since}
        finding = None if state["told"] else self._judge(state, record)
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
        now = since[-1]
        has_fallen = now["train_loss"] < (1 - self.fall) * lowest["train_loss"]
        has_gap = all(one["train_loss"] < self.gap * one["loss"] for one in since)
        if not has_fallen or not has_gap:
            return None
        base = max(1e-12, lowest["loss"])
        least, rise = min(one["loss"] for one in since) / base - 1, now["loss"] / base - 1
        matters = least >= self.rise and now["loss"] - lowest["loss"] >= self.matters * state["scale"]
        rows = record.rows or state["asked"]
        noise = _scores.noise(best, rows, self.metric)
        lost = [-_scores.gain(one["score"], best, self.metric) for one in since]
        score_fell = noise > 0 and min(lost) > self.standard_errors * noise
        passes = state["seen_rows"] / state["rows"] if state["rows"] else record.epoch
        by_heart = passes >= self.passes and now["train_loss"] < self.by_heart * now["loss"]
        if len(since) == self.patience:
            score = mean([one["score"] for one in since])
            has_gained = _scores.gain(score, lowest["score"], self.metric) > 0.5 * noise
            harmful = 0.5 * self.rise_harmful if by_heart else self.rise_harmful
            is_harmed = matters and not has_gained and (score_fell or rise >= harmful)
            is_excused = has_gained and (_scores.is_falling(self.metric) or score >= 1 - self.wrong)
            if is_harmed or (not is_excused and passes >= self.passes and self._is_too_sure(state, rows)):
                return self._finding(state, record, score_fell, by_heart)
        is_sure = passes >= 2 * self.passes and lost[-1] > self.sure * noise > 0
        if matters and is_sure and rise >= self.rise_harmful:
            return self._finding(state, record, score_fell, by_heart)
        return None

    def _is_too_sure(self, state: State, rows: int) -> bool:
        now, lowest = state["since"][-1], state["lowest"]
        if state["guessing"] is None or now["loss"] - now["train_loss"] < self.too_sure * state["guessing"]:
            return False
        error = abs(lowest["loss"]) * (1 / math.sqrt(rows) if rows > 0 else self.rise)
        return bool(now["loss"] - lowest["loss"] > error)

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
