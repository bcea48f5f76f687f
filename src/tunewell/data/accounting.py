"""Writes the ledger from what became of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tunewell.data.assign import Assigned
from tunewell.data.columns import Columns
from tunewell.data.example import Example
from tunewell.data.labels import Labels
from tunewell.data.ledger import Ledger, Places, SplitLedger, places, spread
from tunewell.data.overlap import conflicts, duplicates, spell_pair
from tunewell.data.rows import Collected
from tunewell.data.split import TRAIN
from tunewell.data.table import Table
from tunewell.recipe import Data


def account(
    tables: Mapping[str, Sequence[Table]],
    columns: Columns,
    collected: Collected,
    labels: Labels,
    assigned: Assigned,
) -> Ledger:
    """Return the ledger; the notes are those of `collected` and `labels`."""
    used = {"text": columns.text, "text_pair": columns.text_pair, "label": columns.label, "id": columns.id}
    splits = {}
    for name, examples in assigned.splits.items():
        lost = {reason: places(where) for reason, where in assigned.lost.get(name, {}).items()}
        splits[name] = SplitLedger(
            files=[table.file for table in tables.get(name, tables[TRAIN])],
            read=len(examples) + sum(found.count for found in lost.values()),
            kept=len(examples),
            dropped=lost,
            duplicates=places(spell_pair(pair) for pair in duplicates(examples, assigned.keys)),
            balance=balance(examples, labels.names),
            characters=spread([len(e.text) + len(e.text_pair or "") for e in examples]),
        )
    return Ledger(
        problem=labels.problem,
        labels=labels.names,
        columns={use: name for use, name in used.items() if name},
        splits=splits,
        leakage={"/".join(names): places(map(spell_pair, pairs)) for names, pairs in assigned.shared.items()},
        conflicts=_conflicts(assigned, labels),
        control_characters=places(collected.control),
        notes=[*collected.notes, *labels.notes],
    )


def balance(examples: Sequence[Example], names: Sequence[str]) -> dict[str, int]:
    """Return the rows of each class, in the order of `names`; empty without classes."""
    if not names:
        return {}
    counts = Counter(
        c for e in examples for c in (e.target if isinstance(e.target, list) else [int(e.target)])
    )
    return {name: counts[c] for c, name in enumerate(names)}


def absent_classes(ledger: Ledger, data: Data) -> list[str]:
    """Return a note for each split that lacks a class, with what to set."""
    notes = []
    for name, split in ledger.splits.items():
        absent = [f"`{label}`" for label, count in split.balance.items() if not count]
        if absent:
            note = f"{name} has no row of {', '.join(absent[:10])}"
            if name != TRAIN and isinstance(getattr(data, name), list):
                note += f"; set data.{name} to a share, such as 0.1, for a stratified split"
            elif name != TRAIN and not data.stratify:
                note += "; set data.stratify: true to give each class its share"
            notes.append(note)
    return notes


def _conflicts(assigned: Assigned, labels: Labels) -> Places:
    if labels.problem == "regression":  # scores of one text differ by nature
        return Places()
    every = [example for examples in assigned.splits.values() for example in examples]
    return places(spell_pair(group) for group in conflicts(every, assigned.keys))
