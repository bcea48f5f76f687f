"""Rows into splits, and out of the training split again where the recipe asks: leaked, doubled, surplus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tunewell.data.example import Example, RawRow
from tunewell.data.labels import Labels
from tunewell.data.overlap import Pair, Shared, duplicates, shared_texts, spell_pair, text_key
from tunewell.data.rows import Collected
from tunewell.data.split import TRAIN, joined_groups, seeded_key, split_by_share
from tunewell.data.table import BadRow
from tunewell.problems import DataError, Problem
from tunewell.recipe import Data


@dataclass(frozen=True)
class Assigned:
    """Where every row went: into a split, or out, with the reason."""

    splits: dict[str, list[Example]]
    lost: dict[str, dict[str, list[str]]]
    """Places of rows left out, by split and reason."""
    keys: dict[int, bytes]
    """Equal for rows of equal text, by row id."""
    shared: Shared
    """Texts that stood in two splits, before leaked rows were dropped."""


def assign(collected: Collected, labels: Labels, data: Data, *, for_training: bool = True) -> Assigned:
    """Return every row's fate.

    Raises `DataError` for leakage that blocks, for a split that ends empty, and for training rows of one class.
    """
    lost: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, bad in collected.bad:
        lost[split][bad.reason].append(f"{bad.problem.file}:{bad.problem.line}")
    keys = {row.row: text_key(row.text, row.text_pair) for row in collected.rows}
    splits = _split(collected, labels, keys, data)
    shared = shared_texts(splits, keys)
    for reason, rows in _unwanted(splits, shared, keys, data):
        lost[TRAIN][reason] = [e.place for e in splits[TRAIN] if e.row in rows]
        splits[TRAIN] = [e for e in splits[TRAIN] if e.row not in rows]
    _refuse_empty(splits, lost, data)
    if for_training:
        _refuse_one_class(splits[TRAIN], labels)
    return Assigned(splits, lost, keys, shared)


def _split(
    collected: Collected, labels: Labels, keys: Mapping[int, bytes], data: Data
) -> dict[str, list[Example]]:
    good = [
        (raw, Example(raw.row, raw.place, raw.text, raw.text_pair, target))
        for raw, target in zip(collected.rows, labels.targets, strict=True)
        if not isinstance(target, BadRow)
    ]
    shares = {n: s for n, s in (("test", data.test), ("validation", data.validation)) if isinstance(s, float)}
    training = [(raw, example) for raw, example in good if raw.split == TRAIN]
    parts = split_by_share(
        joined_groups([keys[raw.row] for raw, _ in training], [_group(raw) for raw, _ in training]),
        [_strata(example, labels, data) for _, example in training],
        shares,
        data.split_seed,
    )
    held_out = {example.row: part for (_, example), part in zip(training, parts, strict=True)}
    wanted = [name for name in ("validation", "test") if getattr(data, name) is not None]
    splits: dict[str, list[Example]] = {name: [] for name in [TRAIN, *wanted]}
    for raw, example in good:
        splits[held_out.get(raw.row, raw.split)].append(example)
    return splits


def _group(raw: RawRow) -> str | None:
    return None if raw.group is None or raw.group == "" else str(raw.group)


def _strata(example: Example, labels: Labels, data: Data) -> list[int]:
    """Return the classes whose shares the split keeps; one for all rows where nothing is to be stratified."""
    if not data.stratify or labels.problem == "regression":
        return [0]
    if isinstance(example.target, list):
        return example.target or [-1]
    return [int(example.target)]


def _unwanted(
    splits: Mapping[str, list[Example]], shared: Shared, keys: Mapping[int, bytes], data: Data
) -> list[tuple[str, set[int]]]:
    """Return the training rows to leave out: reason and row ids, each row under its first reason."""
    leaked = {other: pairs for (one, other), pairs in shared.items() if one == TRAIN}
    if leaked and data.leakage == "block":
        raise DataError([_leak_problem(other, pairs) for other, pairs in leaked.items()])
    left = list(splits[TRAIN])
    unwanted: list[tuple[str, set[int]]] = []

    def leave_out(reason: str, examples: list[Example]) -> None:
        rows = {e.row for e in examples} & {e.row for e in left}
        if rows:
            unwanted.append((reason, rows))
            left[:] = [e for e in left if e.row not in rows]

    if data.leakage == "drop":
        for other, pairs in leaked.items():
            leave_out(f"stands in {other} too", [e for e, _ in pairs])
    if data.drop_duplicates:
        leave_out("duplicate", [e for e, _ in duplicates(left, keys)])
    if data.max_rows is not None:
        order = sorted(left, key=lambda e: (seeded_key(data.split_seed, "sample", keys[e.row]), e.row))
        leave_out("beyond max_rows", order[data.max_rows :])
    return unwanted


def _leak_problem(other: str, pairs: list[Pair]) -> Problem:
    places = ", ".join(spell_pair(pair) for pair in pairs[:5])
    what = f"{len(pairs):,} training rows have a text that stands in {other} too, such as {places}"
    fix = "set data.leakage: drop (leaves them out of training) or allow (only reports them)"
    return Problem("data", what, field="data.leakage", fix=fix)


def _refuse_empty(
    splits: Mapping[str, list[Example]], lost: Mapping[str, Mapping[str, list[str]]], data: Data
) -> None:
    problems = []
    for name, examples in splits.items():
        if examples:
            continue
        asked = getattr(data, name)
        why = ", ".join(f"{len(rows):,} left out ({reason})" for reason, rows in lost[name].items())
        fix = "give other files, or see data.drop_duplicates, leakage and skip_bad, which leave rows out"
        if isinstance(asked, float):
            why = f"{asked:g} of so few rows or groups"
            fix = f"give data.{name} a larger share, a file of its own, or null for none"
        problems.append(Problem("data", f"no row is left in {name}: {why}", field=f"data.{name}", fix=fix))
    if problems:
        raise DataError(problems)


def _refuse_one_class(examples: list[Example], labels: Labels) -> None:
    if labels.problem == "single_label" and len({str(e.target) for e in examples}) < 2:
        left = f"{len(examples):,} training rows are left, all of one class"
        fix = "keep more rows: see data.max_rows, leakage, skip_bad and validation"
        raise DataError(Problem("data", left, field="data.train", fix=fix))
