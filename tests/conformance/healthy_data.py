"""What is known of the rows of a sound run: the checks before its first update, a review of its rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tunewell.inspections import DataCheck, DataChecked, RowsReviewed, Suspect


def checked(counts: Sequence[int], **others: DataCheck) -> DataChecked:
    """Return the checks of a sound set with so many rows a class; `others` take the place of single ones."""
    rows = sum(counts)
    classes = {str(index): float(count) for index, count in enumerate(counts)}
    chance = 1 / max(2, len(counts))
    purity = max(counts) / rows
    checks = {
        "duplicates": DataCheck(of=rows, count=2, rows=[7, 9], partners=[1, 2], numbers={"near": 0.0, "expected": 0.0}),
        "conflicts": DataCheck(of=rows, numbers={"inputs": 0.0, "expected": 0.0}),
        "leakage": DataCheck(
            of=rows, numbers={"near": 0.0, "expected": 0.0, "validation_rows": 800.0, "validation_known": 0.0}
        ),
        "classes": DataCheck(count=len(counts), of=rows, numbers=classes),
        "balance": DataCheck(
            count=len(counts),
            of=rows if len(counts) > 1 else 0,
            numbers={"ratio": max(counts) / min(counts), "reweighted": 0.0},
        ),
        "order": DataCheck(of=rows, numbers={"purity": purity + 0.01, "expected": purity, "z": 0.8, "drift": 0.0}),
        "truncated_inputs": DataCheck(of=rows, count=rows // 50),
        "truncated_targets": DataCheck(why_not="targets are not sequences"),
        "unsupervised": DataCheck(of=rows),
        "input_scale": DataCheck(of=2000, numbers={"mean": 0.3, "std": 0.35, "largest": 1.0, "rms": 0.46}),
        "alignment": DataCheck(why_not="inputs and targets are not both token sequences"),
        "signal": DataCheck(
            count=2000,
            of=2000,
            numbers={
                "accuracy": chance + 0.5 * (1 - chance), "chance": chance, "standard_error": 0.011, "shifted_by": 1.0,
                "shifted_accuracy": chance + 0.01, "held_out_accuracy": chance + 0.5 * (1 - chance),
                "class_shifted_by": 1.0, "class_shifted_accuracy": 0.5 * chance, "held_out_rows": 800.0,
            },
        ),
    }  # fmt: skip
    return DataChecked(checks=checks | others, seconds=2.0)


def reviewed(rows: int, step: int, epoch: int = 1) -> RowsReviewed:
    """Return the review of rows of which a few are hard."""
    suspects = [Suspect(row=row, confidence=0.6, given="0", suggested="1") for row in range(rows // 1000)]
    return RowsReviewed(
        step=step, epoch=epoch, rows=rows, suspects=suspects, expected=float(len(suspects)), estimate=0.004
    )


def label_counts(counts: Sequence[int], batch: int, seed: int) -> dict[str, int]:
    """Return the rows of each class in a batch drawn at random."""
    drawn = random.Random(seed).choices(range(len(counts)), counts, k=batch)
    return {str(index): drawn.count(index) for index in sorted(set(drawn))}
