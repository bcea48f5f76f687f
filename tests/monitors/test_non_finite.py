from __future__ import annotations

import math
from collections.abc import Callable

from tunewell.monitors import Monitor, Watch
from tunewell.monitors.non_finite import NonFinite
from tunewell.records import Eval, Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


def bad(step: Callable[..., Step], number: int, row: int | None = None, **fields: object) -> Step:
    rows = [] if row is None else [(row, math.nan)]
    return step(
        number,
        **({"loss": math.nan, "gradient_norm": math.nan, "skipped": True, "worst_rows": rows} | fields),
    )


def test_one_is_told_at_once_with_its_rows(step: Callable[..., Step], found: Found) -> None:
    (one,) = found(NonFinite(), [step(1), bad(step, 2, row=13), step(3)])
    assert (one.step, one.severity, one.rows) == (2, "warning", [13])
    assert "row 13" in one.summary
    assert "the weights are unharmed" in one.meaning


def test_three_of_ten_are_critical_and_name_the_first(step: Callable[..., Step], found: Found) -> None:
    findings = found(NonFinite(), [step(1), bad(step, 2), step(3), bad(step, 4), step(5), bad(step, 6)])
    assert [one.severity for one in findings] == ["warning", "warning", "critical"]
    assert findings[-1].evidence["onset"] == 2
    assert not findings[-1].evidence["rows_explain_all"]


def test_named_rows_explain_repeats(step: Callable[..., Step], found: Found) -> None:
    last = found(NonFinite(), [bad(step, number, row=number) for number in (1, 2, 3)])[-1]
    assert last.severity == "critical"
    assert last.evidence["rows_explain_all"]
    assert last.rows == [1, 2, 3]


def test_a_batch_of_bad_rows_is_the_models_fault(step: Callable[..., Step], found: Found) -> None:
    rows = [(row, math.nan) for row in range(32)]
    (one,) = found(NonFinite(), [bad(step, 1, worst_rows=rows)])
    assert one.rows == []


def test_a_finite_loss_with_a_bad_gradient_is_told_apart(step: Callable[..., Step], found: Found) -> None:
    fields = {"loss": 0.5, "gradient_norm": math.inf, "layer_gradients": {"a": 1.0, "b": math.inf}}
    (one,) = found(NonFinite(), [bad(step, 1, **fields)])
    assert one.evidence["what"] == "gradient"
    assert one.evidence["layers"] == ["b"]
    assert "the gradient was not finite" in one.summary


def test_an_applied_update_is_critical(step: Callable[..., Step], found: Found) -> None:
    (one,) = found(NonFinite(), [bad(step, 1, skipped=False)])
    assert one.severity == "critical"


def test_loss_scaling_of_fp16_may_overflow_while_it_settles(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    overflow = [bad(step, number, loss=0.7) for number in range(1, 10)]
    findings = found(NonFinite(), [started(fingerprint={"precision": "fp16"}), *overflow])
    assert [one.severity for one in findings] == ["info"] * 7 + ["critical"] * 2


def test_an_evaluation_that_is_not_finite_is_told(evaluation: Callable[..., Eval], found: Found) -> None:
    (one,) = found(NonFinite(), [evaluation(100, loss=math.inf)])
    assert one.severity == "warning"
    assert "validation" in one.summary


def test_a_row_that_comes_again_is_told_again_once(step: Callable[..., Step], found: Found) -> None:
    numbers = (2, 30, 60, 90)
    records = [bad(step, n, row=13) if n in numbers else step(n) for n in range(1, 100)]
    findings = found(NonFinite(), records)
    assert [one.evidence.get("again") for one in findings] == [None, [13], None, None]
    watch = Watch({"non_finite": NonFinite()})
    told = [one for record in records for one in watch.observe(record)]
    assert [one.step for one in told] == [2, 30]
