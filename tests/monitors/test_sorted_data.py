from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.sorted_data import SortedData


def ordered(purity: float, expected: float, z: float) -> DataChecked:
    return DataChecked(
        checks={
            "classes": DataCheck(numbers={"a": 500.0, "b": 500.0}),
            "order": DataCheck(of=1000, numbers={"purity": purity, "expected": expected, "z": z}),
        }
    )


def drawn(shares: list[float], size: int, seed: int) -> dict[str, int]:
    rows = random.Random(seed).choices(range(len(shares)), shares, k=size)
    return {str(name): rows.count(name) for name in sorted(set(rows))}


def test_told_from_the_coming_order(found: Callable[..., list]) -> None:
    (one,) = found(SortedData(), [ordered(0.98, 0.57, 60.0)])
    assert one.step == 1
    assert "98% are of one class, where random order gives 57%" in one.summary


@pytest.mark.parametrize("order", [(0.58, 0.57, 1.0), (0.65, 0.57, 12.0), (0.9, 0.57, 3.0)])
def test_slightly_pure_or_uncertain_orders_are_silent(
    order: tuple[float, float, float], found: Callable[..., list]
) -> None:
    assert found(SortedData(), [ordered(*order)]) == []


def test_told_from_the_first_batch(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    records = [started(class_counts={"no": 500, "yes": 500}), step(1, label_counts={"no": 32})]
    (one,) = found(SortedData(), records)
    assert one.step == 1


def test_without_known_shares_once_a_second_class_came(
    step: Callable[..., Any], found: Callable[..., list]
) -> None:
    pure = [step(n, label_counts={"0" if n <= 10 else "1": 32}) for n in range(1, 20)]
    findings = found(SortedData(), pure)
    assert findings
    assert findings[0].step > 10


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.98, 0.02], [0.1] * 10, [0.5, 0.3, 0.1, 0.1]])
@pytest.mark.parametrize("size", [2, 8, 64])
def test_random_batches_are_silent(
    shares: list[float],
    size: int,
    started: Callable[..., Any],
    step: Callable[..., Any],
    found: Callable[..., list],
) -> None:
    counts = {str(name): round(1000 * share) for name, share in enumerate(shares)}
    records = [step(n, label_counts=drawn(shares, size, n)) for n in range(1, 200)]
    assert found(SortedData(), [started(class_counts=counts), *records]) == []
    assert found(SortedData(), records) == []


def test_another_mixture_later_is_a_curriculum(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    mixed = [step(n, label_counts=drawn([0.5, 0.5], 32, n)) for n in range(1, 101)]
    later = [step(n, label_counts={"1": 32}) for n in range(101, 150)]
    records = [started(class_counts={"0": 500, "1": 500}), *mixed, *later]
    assert found(SortedData(), records) == []
