"""Sick runs whose rows are the fault: it stands in the checks before the first update, or shows in an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import msgspec
from traces import PLAIN, Course, healthy

from tunewell.inspections import DataCheck, DataChecked, RowsReviewed, Suspect
from tunewell.records import Eval, Record, Step

with_fields = msgspec.structs.replace
ROWS = sum(PLAIN.counts)


def _with(records: list[Record], **checks: DataCheck) -> list[Record]:
    """Return `records` with single checks in place of the sound ones."""
    return [
        with_fields(record, checks=record.checks | checks) if isinstance(record, DataChecked) else record
        for record in records
    ]


def duplicates(seed: int) -> list[Record]:
    """Half of the rows stand twice."""
    check = DataCheck(
        count=ROWS // 2, of=ROWS, rows=[3, 5], partners=[1, 2], numbers={"near": 40.0, "expected": 0.0}
    )
    return _with(healthy(seed), duplicates=check)


def leakage(seed: int) -> list[Record]:
    """Three in ten validation rows are trained on."""
    numbers = {"near": 3.0, "expected": 0.0, "validation_rows": 800.0, "validation_known": 240.0}
    check = DataCheck(
        count=240, of=ROWS, rows=[3], partners=[12_001], numbers=numbers, detail="a.csv:3 = b.csv:9."
    )
    return _with(healthy(seed), leakage=check)


def conflicting_labels(seed: int) -> list[Record]:
    """A tenth of the rows are inputs that stand with both labels."""
    check = DataCheck(count=ROWS // 10, of=ROWS, rows=[3, 5], numbers={"inputs": 500.0, "expected": 0.0})
    return _with(healthy(seed), conflicts=check)


def truncated_targets(seed: int) -> list[Record]:
    """Four in ten targets break off."""
    check = DataCheck(count=4 * ROWS // 10, of=ROWS, rows=[3, 5])
    return _with(healthy(seed), truncated_targets=check)


def class_imbalance(seed: int) -> list[Record]:
    """Fifty rows of one class for one of the other."""
    return healthy(seed, replace(PLAIN, counts=(9800, 196), learned_at=5, margin=5.0))


def sorted_data(seed: int) -> list[Record]:
    """First all rows of one class, then all of the other."""
    records = healthy(seed)
    check = DataCheck(of=ROWS, numbers={"purity": 0.999, "expected": 0.57, "z": 90.0, "drift": 0.999})
    pure = [
        with_fields(record, label_counts={str((record.step // 150) % 2): 32})
        if isinstance(record, Step)
        else record
        for record in records
    ]
    return _with(pure, order=check)


def inputs_not_normalized(seed: int) -> list[Record]:
    """Bytes of pixels where 0 to 1 is usual: the first answers are sure and wrong."""
    records = healthy(seed, replace(PLAIN, start=12.0, gradient_start=30.0))
    return _with(
        records,
        input_scale=DataCheck(of=2000, numbers={"mean": 80.0, "std": 90.0, "largest": 255.0, "rms": 120.0}),
    )


def inputs_unrelated(seed: int) -> list[Record]:
    """Inputs and targets were shuffled apart: nobody tells anything on new rows."""
    signal = DataCheck(
        count=2000,
        of=2000,
        numbers={
            "accuracy": 0.49,
            "chance": 0.5,
            "standard_error": 0.011,
            "shifted_by": 1.0,
            "shifted_accuracy": 0.51,
        },
    )
    records = healthy(seed, Course(learned_at=10**6, counts=(1600, 1600)))
    guessed = [
        with_fields(
            record,
            loss=math.log(2),
            metrics={"accuracy": 0.5},
            recalls={"0": 0.48, "1": 0.53},
            class_rows={"0": 400, "1": 400},
        )
        if isinstance(record, Eval)
        else record
        for record in records
    ]
    return _with(guessed, signal=signal)


def shifted_labels(seed: int) -> list[Record]:
    """Each row stands with its neighbour's target."""
    numbers = {
        "accuracy": 0.51,
        "chance": 0.5,
        "standard_error": 0.011,
        "shifted_by": 1.0,
        "shifted_accuracy": 0.83,
    }
    return _with(healthy(seed), signal=DataCheck(count=2000, of=2000, numbers=numbers))


def label_noise(seed: int) -> list[Record]:
    """Three in ten labels are wrong, and most of them are found after an epoch."""
    suspects = [
        Suspect(row=row, confidence=0.9, given="0", suggested="1", reasons=["margin"]) for row in range(2800)
    ]
    return [
        with_fields(record, suspects=suspects, expected=280.0, estimate=0.29)
        if isinstance(record, RowsReviewed)
        else record
        for record in healthy(seed)
    ]


SICK: dict[str, Callable[[int], list[Record]]] = {
    made.__name__: made
    for made in (
        duplicates,
        leakage,
        conflicting_labels,
        truncated_targets,
        class_imbalance,
        sorted_data,
        inputs_not_normalized,
        inputs_unrelated,
        shifted_labels,
        label_noise,
    )
}
"""A run that has the fault, by the name of its monitor; from the first update on."""

LATEST = dict.fromkeys(SICK, 1) | {"inputs_unrelated": 200, "label_noise": 320}
"""Step by which each must be told: before or at the first update, or after an epoch."""
