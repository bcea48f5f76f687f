"""A split as the data checks see it: inputs and targets of any loop, brought to a few known shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunewell.data.cache import Encoded
from tunewell.data.example import Example

Array = npt.NDArray[Any]
InputKind = Literal["texts", "tokens", "numbers"]
TargetKind = Literal["classes", "several", "numbers", "sequences"]
IGNORED = -100
"""Target that PyTorch's losses pass over."""
_FEW = 0.5
"""Whole numbers are classes while there are at most half as many different ones as rows."""


@dataclass(frozen=True)
class CheckedRows:
    """Rows in file order.

    `inputs` by `kind`: texts (rows,); tokens, int64 (rows, length), -1 where a row has no more; numbers, float32
    (rows, features). `targets` by `target_kind`: classes, int64 (rows,), -100 for none; several, bool (rows, classes);
    numbers, float64 (rows, outputs); sequences, int64 (rows, length) with -100 where nothing is supervised.
    """

    ids: Array
    kind: InputKind
    inputs: Sequence[str] | Array
    target_kind: TargetKind
    targets: Array
    places: Sequence[str] = ()
    truncated: Array | None = None
    """bool (rows,): whose input was cut; None: not known."""
    whole_numbers: bool = False
    """The inputs' numbers were integers, such as bytes of pixels."""

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, i: int) -> str:
        """Return where row `i` of the split stands."""
        return self.places[i] if self.places else f"row {self.ids[i]:,}"

    def take(self, indexes: Array) -> CheckedRows:
        """Return the rows at `indexes`, (n,), in that order."""
        inputs = (
            self.inputs[indexes]
            if isinstance(self.inputs, np.ndarray)
            else [self.inputs[i] for i in indexes.tolist()]
        )
        return replace(
            self,
            ids=self.ids[indexes],
            inputs=inputs,
            targets=self.targets[indexes],
            places=[self.places[i] for i in indexes.tolist()] if self.places else (),
            truncated=None if self.truncated is None else self.truncated[indexes],
        )


def from_examples(
    examples: Sequence[Example], labels: Sequence[str], problem: str, encoded: Encoded | None
) -> CheckedRows:
    """Return a split of our own data; `encoded` knows which rows were cut."""
    texts = [e.text if e.text_pair is None else f"{e.text}\n{e.text_pair}" for e in examples]
    kind: TargetKind = "classes"
    targets: Array
    if problem == "regression":
        kind, targets = "numbers", np.array([e.target for e in examples], dtype=np.float64).reshape(-1, 1)
    elif problem == "multi_label":
        kind, targets = "several", np.zeros((len(examples), len(labels)), dtype=np.bool_)
        for i, e in enumerate(examples):
            targets[i, np.asarray(e.target, dtype=np.int64)] = True
    else:
        targets = np.array([e.target for e in examples], dtype=np.int64)
    return CheckedRows(
        ids=np.array([e.row for e in examples], dtype=np.int64),
        kind="texts",
        inputs=texts,
        target_kind=kind,
        targets=targets,
        places=[e.place for e in examples],
        truncated=None if encoded is None else np.asarray(encoded.truncated),
    )


def from_arrays(inputs: Any, targets: Any) -> CheckedRows:
    """Return rows of somebody else's loop; ids count from 0.

    `inputs`: arrays or tensors (rows, …), texts, lists of token ids, or a mapping that holds ``input_ids``. `targets`:
    (rows,) or (rows, …). Raises `ValueError` when they are not as many, or can't be read as arrays.
    """
    if isinstance(inputs, Mapping):
        inputs = inputs.get("input_ids", next(iter(inputs.values()), ()))
    kind, rows, whole = _inputs(inputs)
    target_kind: TargetKind
    wanted = as_array(targets)
    if (
        kind == "tokens"
        and wanted.ndim == 2
        and wanted.shape == np.shape(rows)
        and wanted.dtype.kind in "iub"
    ):
        target_kind, wanted = "sequences", wanted.astype(np.int64)
    else:
        target_kind, wanted = _targets(wanted)
    if len(rows) != len(wanted):
        raise ValueError(f"{len(rows)} inputs, but {len(wanted)} targets")
    ids = np.arange(len(rows), dtype=np.int64)
    return CheckedRows(ids, kind, rows, target_kind, wanted, whole_numbers=whole)


def as_array(values: Any) -> Array:
    """Return an array, a tensor on any device or nested lists as a numpy array; lists of unlike lengths filled with -1."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if not hasattr(values, "numpy") or "bfloat16" in str(values.dtype):
            values = values.float()
        return np.asarray(values)
    if isinstance(values, Sequence) and len(values) and hasattr(values[0], "__len__"):
        lengths = {len(value) for value in values}
        if len(lengths) > 1:
            filled = np.full((len(values), max(lengths)), -1, dtype=np.int64)
            for i, value in enumerate(values):
                filled[i, : len(value)] = as_array(value)
            return filled
        if hasattr(values[0], "detach"):
            return np.stack([as_array(value) for value in values])
    return np.asarray(values)


def _inputs(inputs: Any) -> tuple[InputKind, Sequence[str] | Array, bool]:
    if not hasattr(inputs, "dtype") and len(inputs) and isinstance(inputs[0], str):
        return "texts", list(inputs), False
    array = as_array(inputs)
    if array.dtype.kind in "OUS":
        return "texts", [str(text) for text in array.reshape(len(array), -1)[:, 0].tolist()], False
    whole = array.dtype.kind in "iub"
    if whole and array.ndim == 2 and array.dtype.itemsize > 1:
        return "tokens", array.astype(np.int64), True
    flat = array.reshape(len(array), -1)
    return "numbers", np.ascontiguousarray(flat, dtype=np.float32), whole


def _targets(targets: Array) -> tuple[TargetKind, Array]:
    """Return what kind of targets they are, and in that kind's shape."""
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    whole = targets.dtype.kind in "iub"
    if targets.ndim == 1:
        classes = targets.astype(np.int64) if whole else None
        if classes is not None and _are_classes(classes):
            return "classes", classes
        return "numbers", targets.astype(np.float64).reshape(-1, 1)
    flat = targets.reshape(len(targets), -1)
    if targets.ndim == 2 and bool(np.isin(flat, (0, 1)).all()):
        if bool((flat.sum(axis=1) == 1).all()):
            return "classes", flat.argmax(axis=1).astype(np.int64)
        return "several", flat.astype(np.bool_)
    if whole:
        return "sequences", flat.astype(np.int64)
    return "numbers", flat.astype(np.float64)


def _are_classes(targets: Array) -> bool:
    known = targets[targets != IGNORED]
    different = len(np.unique(known))
    return bool(len(known) == 0 or (known.min() >= 0 and different <= max(2, _FEW * len(known))))
