"""The rows of somebody else's training, as far as they were given: for checks of the data, and to name rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunewell.data.checks import check_arrays
from tunewell.inspections import DataChecked
from tunewell.problems import DataError, Problem

MOST_ROWS = 50_000
"""Rows of a data set that are read for the checks, one by one."""

Given = Any
"""A pair of inputs and targets, or a map-style data set of pairs."""


class GivenRows:
    """Training rows, and validation rows where there are some: arrays, tensors or lists, rows first."""

    def __init__(self, train: Given, validation: Given | None, class_names: Sequence[str]) -> None:
        self.inputs, self.targets = _pair(train, "train")
        self._validation = None if validation is None else _pair(validation, "validation")
        self._class_names = list(class_names)
        targets = np.asarray(self.targets) if not isinstance(self.targets, Tensor) else self.targets.numpy()
        is_single = targets.ndim == 1 and targets.dtype.kind in "iu"
        self.classes: np.ndarray | None = targets.astype(np.int64) if is_single else None
        """(rows,) classes of a single-label task, else None."""
        is_number = targets.dtype.kind == "f" and targets.size == len(targets)
        self.numbers: np.ndarray | None = targets.astype(np.float64).reshape(-1) if is_number else None
        """(rows,) targets of a regression, else None."""
        self.are_tokens = targets.ndim == 2 and targets.dtype.kind in "iu" and targets.shape[1] > 1
        """Whether the targets may be (rows, tokens)."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_validation(self) -> int:
        """Rows held out; 0: none were given."""
        return 0 if self._validation is None else len(self._validation[0])

    def counts(self) -> dict[str, int]:
        """Return the rows of each class, by its name or number; empty for other tasks."""
        if self.classes is None:
            return {}
        labels, counts = np.unique(self.classes[self.classes >= 0], return_counts=True)
        names = self._class_names
        return {
            names[label] if label < len(names) else str(label): int(count)
            for label, count in zip(labels.tolist(), counts, strict=True)
        }

    def checked(self, batches: Sequence[Sequence[int]] | None) -> DataChecked:
        """Return what the data checks show; `batches` are the first ones as they will come."""
        return check_arrays(
            self.inputs,
            self.targets,
            validation=self._validation,
            batches=batches or None,
            class_names=self._class_names or None,
        )


def _pair(given: Given, name: str) -> tuple[Any, Any]:
    if isinstance(given, tuple) and len(given) == 2:
        inputs, targets = given
    elif hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        inputs, targets = _read(given, name)
    else:
        what = f"`{name}` is a pair of inputs and targets, or a data set of pairs, and this is {type(given).__name__}"
        raise DataError(Problem("data", what))
    if len(inputs) != len(targets):
        raise DataError(Problem("data", f"`{name}` has {len(inputs)} inputs and {len(targets)} targets"))
    return _on_processor(inputs), _on_processor(targets)


def _read(dataset: Any, name: str) -> tuple[Any, Any]:
    if len(dataset) > MOST_ROWS:
        what = f"`{name}` has {len(dataset):,} rows, and {MOST_ROWS:,} are the most that are read one by one"
        raise DataError(Problem("data", what, fix="give it as a pair of arrays, or leave it out"))
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:  # rows that are drawn or distorted at random must not move the training's random numbers
        pairs = [dataset[place] for place in range(len(dataset))]
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise DataError(
            Problem("data", f"`{name}` is a data set whose rows are no pairs of input and target")
        )
    return _stacked([pair[0] for pair in pairs]), _stacked([pair[1] for pair in pairs])


def _stacked(values: list[Any]) -> Any:
    if values and all(isinstance(value, Tensor) and value.shape == values[0].shape for value in values):
        return torch.stack(values)
    return values


def _on_processor(values: Any) -> Any:
    return values.detach().cpu() if isinstance(values, Tensor) else values
