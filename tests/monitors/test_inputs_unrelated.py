from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked, Tested
from tunewell.monitors.inputs_unrelated import InputsUnrelated
from tunewell.records import Eval


def signal(accuracy: float, chance: float = 0.5) -> DataChecked:
    numbers = {"accuracy": accuracy, "chance": chance, "standard_error": 0.01}
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
