"""A loss or gradient that is not a number, or infinite."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, StageBegan, Started, Step


class NonFinite(msgspec.Struct, frozen=True, kw_only=True):
    """A loss or gradient that is not finite: told at once, with the rows whose own loss is not finite.

    The guard in the loop refuses such an update, so that one of them costs one batch and no more. Several within
    few updates, or one that was applied, mean that the weights or the rate are sick (critical). A row to blame for a
    second time is told again, however long after, while the weights are whole. fp16 overflows by
    design until its loss scale has settled: there, gradients alone are a fault only if most updates overflow.
    """

    window: Annotated[int, Meta(ge=1)] = 10
    """Updates looked back on."""
    repeated: Annotated[int, Meta(ge=1)] = 3
    """Bad updates of the window that make it critical. Bad rows are rare enough not to meet by chance: at one bad
    row in a thousand and batches of 32, three of ten happens once in about 300 windows, and then rows are named."""
    repeated_scaled: Annotated[int, Meta(ge=1)] = 8
    """The same for fp16 with a loss scale, which halves at each overflow: from 2^16 it settles well before this."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"bad": [], "rows": [], "blamed": {}, "scaled": False, "steps": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update and each evaluation."""
        match record:
            case Started():
                return {**self.init(), "scaled": "fp16" in record.fingerprint.values()}, []
            case StageBegan():
                return {**state, "bad": [], "rows": []}, []
            case Step():
                return self._step(state, record)
            case Eval() if not math.isfinite(record.loss):
                finding = _of_evaluation(record)
                return {**state, "seen": finding.summary}, [finding]
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        steps = state["steps"]
        blind = "" if steps else "no update was seen"
        return judged(state, blind=blind, fine=f"loss and gradient were finite in all {steps:,} updates")

    def _step(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        loss_is_bad = not math.isfinite(step.loss)
        is_bad = loss_is_bad or not math.isfinite(step.gradient_norm)
        rows = _blamed_rows(step)
        blamed = state["blamed"] | {str(row): state["blamed"].get(str(row), 0) + 1 for row in rows}
        again = [row for row in rows if blamed[str(row)] == 2] if step.skipped else []
        bad = [*state["bad"], is_bad][-self.window :]
        rows_by_update = [*state["rows"], rows][-self.window :]
        state = {**state, "bad": bad, "rows": rows_by_update, "blamed": blamed, "steps": state["steps"] + 1}
        if not is_bad:
            return state, []
        overflow = state["scaled"] and not loss_is_bad and step.skipped
        needed = self.repeated_scaled if overflow else self.repeated
        is_critical = not step.skipped or sum(bad) >= needed
        finding = _of_update(step, rows_by_update, bad, is_critical, overflow)
        if again:
            finding = msgspec.structs.replace(finding, evidence=finding.evidence | {"again": again})
        return {**state, "seen": finding.summary}, [finding]


def _blamed_rows(step: Step) -> list[int]:
    """Rows whose own loss is not finite; none if they are so many that the model is to blame."""
    rows = [row for row, loss in step.worst_rows if not math.isfinite(loss)]
    return rows if len(rows) <= max(1, step.rows // 4) else []


def _of_update(
    step: Step, rows: list[list[int]], bad: list[bool], is_critical: bool, overflow: bool
) -> Finding:
    loss_is_bad = not math.isfinite(step.loss)
    what = (
        f"the loss was {step.loss}"
        if loss_is_bad
        else f"the loss was {step.loss:.3g} but the gradient was not finite"
    )
    times = sum(bad)
    blamed = rows[-1]
    named = (
        f"; {'rows' if len(blamed) > 1 else 'row'} {', '.join(map(str, blamed))} made it so" if blamed else ""
    )
    repeated = f" ({times} of the last {len(bad)} updates)" if times > 1 else ""
    layers = [name for name, norm in (step.layer_gradients or {}).items() if not math.isfinite(norm)]
    counts = Counter(row for update in rows for row in update)
    if not step.skipped:
        meaning = "The update was applied: the weights themselves may no longer be numbers, and then nothing more is learned."
    elif is_critical:
        meaning = "Updates are being lost one after another: the run has gone out of bounds and won't come back by itself."
    else:
        meaning = "This update was left out and the weights are unharmed; one lost batch does no harm."
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="non_finite",
        code="non_finite",
        severity="critical" if is_critical else "info" if overflow else "warning",
        summary=f"At step {step.step} {what}{repeated}{named}.",
        meaning=meaning,
        causes=_causes(loss_is_bad, bool(blamed), overflow),
        advice=_advice(bool(blamed)),
        evidence={
            "onset": step.step - (len(bad) - 1 - bad.index(True)),
            "what": "loss" if loss_is_bad else "gradient",
            "applied": not step.skipped,
            "bad_updates": times,
            "updates": len(bad),
            "row_counts": {str(row): count for row, count in sorted(counts.items())},
            "rows_explain_all": all(names for names, one in zip(rows, bad, strict=True) if one),
            "layers": layers,
            "learning_rate": step.learning_rate,
        },
        rows=sorted(counts),
    )


def _causes(loss_is_bad: bool, has_rows: bool, overflow: bool) -> list[str]:
    if overflow:
        return ["fp16 loss scaling finding its scale", "learning rate too high"]
    if has_rows:
        return [
            "a bad row: an empty or extreme input, or a target that the loss can't take",
            "learning rate too high",
        ]
    if loss_is_bad:
        return ["learning rate too high", "log or division of 0 in the loss", "overflow in half precision"]
    return [
        "overflow in half precision",
        "a loss term whose slope is infinite, such as √x at 0",
        "learning rate too high",
    ]


def _advice(has_rows: bool) -> list[str]:
    general = [
        "if it repeats, lower `learning_rate` or set `max_grad_norm: 1.0`",
        "set `precision: fp32` to see whether half precision overflows",
    ]
    return ["look at the named rows and mend or drop them", *general] if has_rows else general


def _of_evaluation(record: Eval) -> Finding:
    return Finding(
        step=record.step,
        monitor="non_finite",
        code="non_finite",
        severity="warning",
        summary=f"The {record.split} loss at step {record.step} was {record.loss}.",
        meaning="Either some validation rows can't be scored or the weights are damaged; this score can't be trusted.",
        causes=["a validation row that the loss can't take", "weights that are no longer finite"],
        advice=[
            "look at the validation rows",
            "lower `learning_rate` if training losses are not finite either",
        ],
        evidence={"onset": record.step, "what": "evaluation", "applied": False, "split": record.split},
    )
