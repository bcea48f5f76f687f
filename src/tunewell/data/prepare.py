"""From a recipe to a data set: read, check, label, split, compare; every row accounted for in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tunewell.data.accounting import absent_classes, account
from tunewell.data.assign import assign
from tunewell.data.columns import Columns, choose
from tunewell.data.example import Example
from tunewell.data.labels import Labels, read_labels
from tunewell.data.ledger import Ledger
from tunewell.data.read import read
from tunewell.data.refusal import MOST_PROBLEMS, refuse_bad
from tunewell.data.rows import Collected, collect
from tunewell.data.split import TRAIN
from tunewell.data.table import BadRow, Table
from tunewell.problems import DataError, Problem
from tunewell.recipe import Data, Recipe


@dataclass(frozen=True)
class Dataset:
    """Rows ready to be encoded, by split (``train``, and ``validation`` and ``test`` where asked for).

    `labels` are the class names in order (empty for regression); `hash` names texts, labels and splits in 16
    hexadecimal digits.
    """

    splits: dict[str, list[Example]]
    problem: str
    labels: list[str]
    columns: Columns
    ledger: Ledger
    hash: str


def prepare(recipe: Recipe, base: Path, *, for_training: bool = True) -> Dataset:
    """Return the data set that `recipe.data` asks for; file names are relative to `base`, the recipe's folder.

    Rows that are not `for_training`, only evaluated, may all have one label. Raises `DataError` with up to 20
    problems at once. Nothing is written.
    """
    data = recipe.data
    tables = _read_all(data, base)
    columns, guesses = _choose(tables, data)
    collected = collect(tables, columns, data.clean, ids_named=data.id is not None)
    labels = _read_labels(collected, columns, recipe, for_training)
    if not data.skip_bad:
        refuse_bad([bad for _, bad in collected.bad])
    assigned = assign(collected, labels, data, for_training=for_training)
    ledger = account(tables, columns, collected, labels, assigned)
    notes = [*guesses, *ledger.notes, *absent_classes(ledger, data)]
    ledger = msgspec.structs.replace(ledger, notes=notes)
    digest = _hash(assigned.splits, labels)
    return Dataset(assigned.splits, labels.problem, labels.names, columns, ledger, digest)


def _read_all(data: Data, base: Path) -> dict[str, list[Table]]:
    named = {TRAIN: data.train, "validation": data.validation, "test": data.test}
    tables: dict[str, list[Table]] = {}
    problems: list[Problem] = []
    for split, names in named.items():
        if isinstance(names, list):
            try:
                tables[split] = read(names, base, skip_bad=data.skip_bad)
            except DataError as error:
                problems += [replace(p, field=p.field or f"data.{split}") for p in error.problems]
    if problems:
        raise DataError(problems[:MOST_PROBLEMS])
    return tables


def _choose(tables: Mapping[str, list[Table]], data: Data) -> tuple[Columns, list[str]]:
    """Choose the columns; lines that could not be read are told too, for they may be why."""
    every = [table for its_tables in tables.values() for table in its_tables]
    unreadable = [bad for table in every for bad in table.bad]
    readable = [table for table in every if table.columns]
    if not readable:
        _refuse_all_bad(unreadable)
    try:
        return choose(readable, data)
    except DataError as error:
        if data.skip_bad:
            raise
        raise DataError([*error.problems, *(bad.problem for bad in unreadable)][:MOST_PROBLEMS]) from error


def _read_labels(collected: Collected, columns: Columns, recipe: Recipe, for_training: bool) -> Labels:
    """Read the labels; rows with a bad one are added to `collected.bad`."""
    if not any(row.split == TRAIN for row in collected.rows):
        _refuse_all_bad([bad for _, bad in collected.bad])
    labels = read_labels(
        collected.rows, columns.label, recipe.problem, recipe.data.labels, for_training=for_training
    )
    found = zip(collected.rows, labels.targets, strict=True)
    collected.bad.extend((row.split, target) for row, target in found if isinstance(target, BadRow))
    return labels


def _refuse_all_bad(bad: Sequence[BadRow]) -> None:
    """Say that no training row can be used, then of each row why."""
    what = f"no row is left to train on: {len(bad):,} bad row{'s' * (len(bad) != 1)}"
    none_left = Problem("data", what, field="data.train", fix="mend the rows below, or give another file")
    try:
        refuse_bad(bad, way_out="")
    except DataError as error:
        raise DataError([none_left, *error.problems[: MOST_PROBLEMS - 1]]) from error


def _hash(splits: Mapping[str, Sequence[Example]], labels: Labels) -> str:
    encoder = msgspec.json.Encoder()
    digest = hashlib.blake2b(encoder.encode([labels.problem, labels.names]), digest_size=8)
    for name, examples in splits.items():
        digest.update(encoder.encode(name))
        for e in examples:
            digest.update(encoder.encode([e.text, e.text_pair, e.target]))
    return digest.hexdigest()
