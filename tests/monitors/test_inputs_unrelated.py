from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked, Tested
from tunewell.monitors.inputs_unrelated import InputsUnrelated
from tunewell.records import Eval


def signal(accuracy: float, chance: float = 0.5, error: float = 0.01) -> DataChecked:
    numbers = {"accuracy": accuracy, "chance": chance, "standard_error": error}
    return DataChecked(
        checks={"signal": DataCheck(of=2000, numbers=numbers), "duplicates": DataCheck(of=640)}
    )


def evaluated(number: int, metrics: dict[str, float], recalls: dict[str, float] | None = None) -> Eval:
    return Eval(
        step=number, epoch=1.0, split="validation", loss=0.69, metrics=metrics, rows=400, seconds=1.0,
        recalls=recalls or {}, class_rows={"no": 200, "yes": 200},
    )  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        evaluated(20, {"accuracy": 0.52}),
        evaluated(20, {"accuracy": 0.9}, {"no": 1.0, "yes": 0.0}),
        evaluated(20, {"r2": -0.1}),
    ],
)
def test_neither_a_simple_model_nor_the_run_can_tell(
    record: Eval, started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    epoch = [step(n) for n in range(1, 21)]
    (one,) = found(InputsUnrelated(), [started(), signal(0.51), *epoch, record])
    assert one.step == 20


@pytest.mark.parametrize(("told", "accuracy"), [(0.51, 0.7), (0.8, 0.5)])
def test_one_of_them_can(
    told: float,
    accuracy: float,
    started: Callable[..., Any],
    step: Callable[..., Any],
    found: Callable[..., list],
) -> None:
    epoch = [step(n) for n in range(1, 21)]
    records = [started(), signal(told), *epoch, evaluated(20, {"accuracy": accuracy})]
    assert found(InputsUnrelated(), records) == []


def test_a_simple_model_of_few_rows_tells_nothing(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    epoch = [step(n) for n in range(1, 21)]
    few = signal(0.51, error=0.5 / math.sqrt(64))
    assert found(InputsUnrelated(), [started(), few, *epoch, evaluated(20, {"accuracy": 0.52})]) == []


def test_too_early_to_tell(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    records = [started(), signal(0.5), *(step(n) for n in range(1, 8)), evaluated(7, {"accuracy": 0.5})]
    assert found(InputsUnrelated(), records) == []


def test_outputs_that_do_not_change_with_the_inputs(found: Callable[..., list]) -> None:
    failed = Tested(name="inputs_matter", passed=False, detail="Other inputs change the outputs by 0.")
    (one,) = found(InputsUnrelated(), [failed])
    assert one.step == 1
    assert one.summary == failed.detail
    assert found(InputsUnrelated(), [Tested(name="inputs_matter", passed=True, detail="They do.")]) == []


@pytest.mark.parametrize(
    ("changed", "count"), [({}, 1), ({"elsewhere": 0.9}, 0), ({"by_chance": 0.8}, 0), ({"shifted": 1.0}, 0)]
)
def test_token_targets_of_other_rows(
    changed: dict[str, float], count: int, found: Callable[..., list]
) -> None:
    numbers = {"own": 0.01, "elsewhere": 1.0, "by_chance": 0.2, "shifted": 0.01, "shifted_by": 1.0} | changed
    record = DataChecked(checks={"alignment": DataCheck(of=640, numbers=numbers)})
    told = found(InputsUnrelated(), [record])
    assert [one.step for one in told] == [1] * count


def test_token_targets_of_their_own_rows_are_fine(found: Callable[..., list]) -> None:
    record = DataChecked(checks={"alignment": DataCheck(of=640, numbers={"own": 0.7})})
    state, told = InputsUnrelated().update(InputsUnrelated().init(), record)
    assert told == []
    assert InputsUnrelated().verdict(state).kind == "fine"


def an_epoch_of_20(
    step: Callable[..., Any], evaluations: dict[int, float], loss: Callable[[int], float] = lambda _: 0.69
) -> list[Any]:
    records: list[Any] = [signal(0.51)]
    for n in range(1, 25):
        records.append(step(n, loss=loss(n)))
        if n in evaluations:
            records.append(evaluated(n, {"accuracy": evaluations[n]}))
    return records


@pytest.mark.parametrize(
    ("evaluations", "at"),
    [
        ({6: 0.5, 12: 0.5, 24: 0.5}, 20),
        ({5: 0.5, 10: 0.5, 20: 0.5}, 20),
        ({8: 0.5, 16: 0.5, 24: 0.5}, 16),
        ({4: 0.5, 24: 0.5}, 24),
    ],
)
def test_judged_at_the_end_of_the_first_epoch(
    evaluations: dict[int, float],
    at: int,
    started: Callable[..., Any],
    step: Callable[..., Any],
    found: Callable[..., list],
) -> None:
    (one,) = found(InputsUnrelated(), [started(), *an_epoch_of_20(step, evaluations)])
    assert one.step == at


def test_what_was_learned_since_the_evaluation_counts(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    late = an_epoch_of_20(step, {6: 0.5, 12: 0.5}, lambda n: 0.69 if n < 14 else 0.5)
    assert found(InputsUnrelated(), [started(), *late]) == []
    of_numbers = started(num_classes=0, class_counts={})
    assert found(InputsUnrelated(), [of_numbers, *late]) == []


def test_an_evaluation_of_the_epochs_last_update_is_waited_for(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    records = an_epoch_of_20(step, {5: 0.5, 10: 0.5, 20: 0.7})
    assert found(InputsUnrelated(), [started(), *records]) == []


def test_a_score_that_is_no_number_stays_out_of_the_state() -> None:
    monitor = InputsUnrelated()
    state, _ = monitor.update(monitor.init(), evaluated(5, {}, {"no": math.nan, "yes": 0.5}))
    assert json.loads(json.dumps(state, allow_nan=False)) == state
