"""How likely a row's input is by chance, its parts drawn independently: where inputs are few, equal ones are no fault."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from tunewell.data.checked_rows import Array, CheckedRows

_SHORT = 8
"""Words of a text that may stand twice by chance; in longer ones it is all but impossible."""
_PARTS = 256
"""Columns looked at; more can only make a row less likely."""
_NEVER = -100.0
"""Log-probability under which nobody counts."""


def chances(rows: CheckedRows) -> Array:
    """Return the log-probability of each row's input, float64 (rows,)."""
    if rows.kind == "texts":
        return _texts([str(text) for text in rows.inputs])
    return _columns(np.asarray(rows.inputs)[:, :_PARTS])


def _texts(texts: list[str]) -> Array:
    found = np.full(len(texts), _NEVER)
    short = {
        i: words for i, text in enumerate(texts) if len(words := text[:200].casefold().split()) <= _SHORT
    }
    counts = Counter(word for words in short.values() for word in words)
    lengths = Counter(len(words) for words in short.values())
    total = max(1, counts.total())
    for i, words in short.items():
        found[i] = math.log(lengths[len(words)] / len(texts)) + sum(
            math.log(counts[w] / total) for w in words
        )
    return found


def _columns(columns: Array) -> Array:
    found = np.zeros(len(columns))
    for column in columns.T:
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        found += np.log(counts / len(columns))[inverse]
        if len(found) and found.max() < _NEVER:
            break
    return found
