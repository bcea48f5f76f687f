"""Rows that stand more than once: in a split, in two splits, with different targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tunewell.data.chance_repeats import chances
from tunewell.data.checked_rows import Array, CheckedRows
from tunewell.data.near_duplicates import keys, near_pairs
from tunewell.data.split import TRAIN
from tunewell.inspections import DataCheck

MOST_ROWS = 1_000
"""Row ids kept of a check."""


@dataclass(frozen=True)
class _Grouped:
    """All rows of all splits, one after the other: which are equal, and which nearly so."""

    splits: Mapping[str, CheckedRows]
    equal: Array
    """(rows,) position of the first row of the same input."""
    alike: Array
    """(rows,) position of the first row of a nearly equal input."""
    why_not: str
    """Why near ones were not looked for."""

    def of(self, split: str) -> slice:
        """Return where `split` stands."""
        begin = 0
        for name, rows in self.splits.items():
            if name == split:
                return slice(begin, begin + len(rows))
            begin += len(rows)
        raise KeyError(split)

    def place(self, position: int) -> str:
        """Return ``file:line`` of a row, or its split and id."""
        for name, rows in self.splits.items():
            if position < len(rows):
                return rows.place(position) if rows.places else f"{name} row {rows.ids[position]:,}"
            position -= len(rows)
        raise IndexError(position)


def check_repeats(splits: Mapping[str, CheckedRows]) -> dict[str, DataCheck]:
    """Return the checks ``duplicates`` and ``conflicts`` of the training rows, and ``leakage`` into other splits.

    ``numbers["expected"]`` says how many rows would repeat by chance, were their parts drawn independently: of short
    texts and of few binary features many do, and rightly.
    """
    grouped = _grouped(splits)
    logs = chances(splits[TRAIN])
    return {
        "duplicates": _duplicates(grouped, logs),
        "conflicts": _conflicts(grouped, logs),
        "leakage": _leakage(grouped, logs),
    }


def _grouped(splits: Mapping[str, CheckedRows]) -> _Grouped:
    first: dict[bytes, int] = {}
    every = [key for rows in splits.values() for key in keys(rows)]
    equal = np.array([first.setdefault(key, place) for place, key in enumerate(every)], dtype=np.int64)
    different = np.unique(equal)
    pairs, why_not = near_pairs(joined(splits).take(different))
    alike = np.arange(len(equal))
    for (
        later,
        earlier,
    ) in pairs:  # in rising order of `later`, so that each earlier row knows its first already
        alike[different[later]] = alike[different[earlier]]
    return _Grouped(splits, equal, alike[equal], why_not)


def joined(splits: Mapping[str, CheckedRows]) -> CheckedRows:
    """Return the inputs of all splits, one after the other, without their targets."""
    every = list(splits.values())
    if every[0].kind == "texts":
        inputs: list[str] | Array = [text for rows in every for text in rows.inputs]
    else:
        inputs = _stacked([np.asarray(rows.inputs) for rows in every])
    ids = np.concatenate([rows.ids for rows in every])
    return CheckedRows(ids, every[0].kind, inputs, "classes", np.zeros(len(ids), dtype=np.int64))


def _stacked(arrays: list[Array]) -> Array:
    """Return rows of tokens of unlike lengths as one array, -1 where a row has no more."""
    width = max(array.shape[1] for array in arrays)
    wide = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-1) for a in arrays]
    return np.concatenate(wide)


def _duplicates(grouped: _Grouped, logs: Array) -> DataCheck:
    train = grouped.splits[TRAIN]
    within = grouped.of(TRAIN)
    first = _firsts(grouped.alike[within])
    again = np.flatnonzero(first != np.arange(len(first)))
    exactly = _firsts(grouped.equal[within])[again] != again
    return DataCheck(
        count=len(again),
        of=len(train),
        rows=train.ids[again[:MOST_ROWS]].tolist(),
        partners=train.ids[first[again[:MOST_ROWS]]].tolist(),
        numbers={
            "near": float(np.sum(~exactly)),
            "expected": _expected(logs, (len(train) - 1) / 2),
        },
        detail=_spelled(
            [f"{grouped.place(i)} = {grouped.place(j)}" for i, j in _pairs(again, first)], grouped.why_not
        ),
    )


def _leakage(grouped: _Grouped, logs: Array) -> DataCheck:
    train, others = grouped.splits[TRAIN], [name for name in grouped.splits if name != TRAIN]
    if not others:
        return DataCheck(why_not="there is no validation or test split")
    within = grouped.of(TRAIN)
    groups = grouped.alike[within]
    held_out = np.ones(len(grouped.alike), dtype=np.bool_)
    held_out[within] = False
    positions = np.flatnonzero(held_out)
    there: dict[int, int] = {}
    for position in reversed(positions.tolist()):
        there[int(grouped.alike[position])] = position
    leaked = np.array([i for i, group in enumerate(groups.tolist()) if group in there], dtype=np.int64)
    exact = np.isin(grouped.equal[within][leaked], grouped.equal[positions])
    partners = np.array([there[int(groups[i])] for i in leaked.tolist()], dtype=np.int64)
    ids = np.concatenate([rows.ids for rows in grouped.splits.values()])
    numbers = {"near": float(np.sum(~exact)), "expected": _expected(logs, len(positions))}
    for name in others:
        known = np.isin(grouped.alike[grouped.of(name)], groups)
        numbers |= {f"{name}_rows": float(len(known)), f"{name}_known": float(known.sum())}
    return DataCheck(
        count=len(leaked),
        of=len(train),
        rows=train.ids[leaked[:MOST_ROWS]].tolist(),
        partners=ids[partners[:MOST_ROWS]].tolist(),
        numbers=numbers,
        detail=_spelled(
            [
                f"{grouped.place(i)} = {grouped.place(j)}"
                for i, j in zip(leaked[:3].tolist(), partners[:3].tolist(), strict=True)
            ],
            grouped.why_not,
        ),
    )


def _conflicts(grouped: _Grouped, logs: Array) -> DataCheck:
    train = grouped.splits[TRAIN]
    if train.target_kind == "sequences":
        return DataCheck(why_not="targets are sequences: one input may well go on in several ways")
    groups = grouped.equal[grouped.of(TRAIN)]
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    unlike = [
        group
        for group in members.values()
        if len(group) > 1 and bool((train.targets[group] != train.targets[group[0]]).any())
    ]
    rows = np.array([i for group in unlike for i in group], dtype=np.int64)
    firsts = np.array([group[0] for group in unlike for _ in group], dtype=np.int64)
    return DataCheck(
        count=len(rows),
        of=len(train),
        rows=train.ids[rows[:MOST_ROWS]].tolist(),
        partners=train.ids[firsts[:MOST_ROWS]].tolist(),
        numbers={"inputs": float(len(unlike)), "expected": _expected(logs, len(train) - 1)},
        detail=_spelled([" = ".join(grouped.place(i) for i in group[:4]) for group in unlike[:3]], ""),
    )


def _firsts(groups: Array) -> Array:
    """Return for each member of a group the position of the group's first member."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    result: Array = first[inverse]
    return result


def _pairs(rows: Array, first: Array) -> Iterator[tuple[int, int]]:
    for i in rows[:3].tolist():
        yield i, int(first[i])


def _expected(logs: Array, others: float) -> float:
    """Return how many rows have an equal among `others` rows by chance, `logs` the log-probability of each row."""
    return round(float(-np.expm1(-np.exp(np.minimum(0.0, logs)) * others).sum()), 3)


def _spelled(places: list[str], note: str) -> str:
    told = "; ".join(places) + "." if places else ""
    return f"{told} {note[:1].upper()}{note[1:]}.".strip() if note else told
