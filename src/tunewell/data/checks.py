"""Everything that can be wrong with rows and seen before the first update.

No torch; a minute at most. What was found is a record; monitors judge it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewell.data.cache import Encoded
from tunewell.data.checked_rows import CheckedRows, from_arrays, from_examples
from tunewell.data.example import Example
from tunewell.data.order_check import check_order
from tunewell.data.repeats import check_repeats
from tunewell.data.signal import check_signal
from tunewell.data.split import TRAIN
from tunewell.data.target_checks import (
    check_alignment,
    check_balance,
    check_classes,
    check_scale,
    check_truncated_inputs,
    check_truncated_targets,
    check_unsupervised,
)
from tunewell.inspections import DataCheck, DataChecked

Batches = Sequence[Sequence[int] | npt.NDArray[np.int64]]


def check_examples(
    splits: Mapping[str, Sequence[Example]],
    labels: Sequence[str],
    problem: str,
    encoded: Mapping[str, Encoded] | None = None,
    batches: Batches | None = None,
    *,
    reweighted: bool = False,
) -> DataChecked:
    """Return what the checks of our own splits show; `splits` has at least ``train``.

    `encoded` knows which rows were cut. `batches` are the first batches as they will come, indexes into the training
    split. `reweighted`: the loss or the sampling makes up for unlike classes.
    """
    rows = {
        name: from_examples(examples, labels, problem, (encoded or {}).get(name))
        for name, examples in splits.items()
    }
    return _check(rows, batches, labels, reweighted)


def check_arrays(
    inputs: Any,
    targets: Any,
    *,
    validation: tuple[Any, Any] | None = None,
    batches: Batches | None = None,
    class_names: Sequence[str] | None = None,
    reweighted: bool = False,
) -> DataChecked:
    """Return what the checks of somebody else's rows show; row ids are indexes into `inputs`.

    `inputs` and `targets`: arrays or tensors (rows, …), or a list of texts and targets; `validation` the same as a pair.
    `batches` are lists of indexes. Raises `ValueError` when inputs and targets are not as many.
    """
    rows = {TRAIN: from_arrays(inputs, targets)}
    if validation is not None:
        rows["validation"] = from_arrays(*validation)
    return _check(rows, batches, class_names or (), reweighted)


def _check(
    splits: Mapping[str, CheckedRows], batches: Batches | None, names: Sequence[str], reweighted: bool
) -> DataChecked:
    began = time.perf_counter()
    train, validation = splits[TRAIN], splits.get("validation")
    checks: dict[str, DataCheck] = {
        **check_repeats(splits),
        "classes": check_classes(train, names),
        "balance": check_balance(train, names, reweighted=reweighted),
        "order": check_order(train, batches),
        "truncated_inputs": check_truncated_inputs(train),
        "truncated_targets": check_truncated_targets(train),
        "unsupervised": check_unsupervised(train),
        "input_scale": check_scale(train),
        "alignment": check_alignment(train),
        "signal": check_signal(train, validation),
    }
    return DataChecked(time=time.time(), checks=checks, seconds=time.perf_counter() - began)
