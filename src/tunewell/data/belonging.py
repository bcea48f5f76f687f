"""Whether token targets are the tokens of their own row: a language model's targets stand in its inputs.

Where they do in most rows, a row in which they do not has a wrong target. Where they hardly do in any, and each target
is word for word what another row holds, inputs and targets were put in different orders.
"""

from __future__ import annotations

import numpy as np

from tunewell.data.checked_rows import IGNORED, Array, CheckedRows
from tunewell.inspections import DataCheck

MOST_ROWS = 5_000
"""Rows named."""
_SEARCHED = 300
"""Rows whose targets are looked for in the others."""
_WHOLE = 0.9
"""Share of its places that must hold for a row to hold."""
_MOST = 0.5
"""Share of the rows that must hold for the others to be wrong."""
_BETWEEN = 0.05
"""Share of rows that may neither hold nor be apart, as where a few words differ."""


def belonging(rows: CheckedRows) -> DataCheck:
    """Return which rows' targets, (rows, length) tokens as the inputs, are not their own where those of most others are.

    Numbers: ``own``, the share of rows whose targets are their inputs' tokens (at the same place or the next); where it
    is small, ``elsewhere``, the share whose targets are another row's, ``by_chance``, what that would be if tokens were drawn
    place by place, and ``shifted_by`` and ``shifted``, the share that is the row's before or after.
    """
    tokens, targets = np.asarray(rows.inputs), rows.targets
    assert tokens.shape == targets.shape
    if min(tokens.shape) < 2:
        return DataCheck()
    pairs = [(targets, tokens), (targets[:, :-1], tokens[:, 1:])]
    here, there = max(pairs, key=lambda pair: _holding(*pair))
    own = _agreement(here, there)
    known = np.isfinite(own)
    if not known.any():
        return DataCheck()
    chance = float(_agreement(here, np.roll(there, 1, axis=0))[known].mean())
    share = float((own[known] >= _WHOLE).mean())
    numbers = {"own": share}
    if share >= _MOST:
        apart = known & (own <= (1 + chance) / 2)
        between = 1 - share - float(apart.sum() / known.sum())
        strange = apart.any() and own[apart].mean() <= chance + 0.25 * (1 - chance)
        found = np.flatnonzero(apart) if strange and between <= _BETWEEN else np.zeros(0, dtype=np.int64)
        return DataCheck(
            count=len(found),
            of=int(known.sum()),
            numbers=_rounded(numbers),
            rows=rows.ids[found[:MOST_ROWS]].tolist(),
        )
    searched = [_elsewhere(*pair) for pair in pairs]
    numbers |= max(searched, key=lambda found: found["elsewhere"])
    return DataCheck(of=int(known.sum()), numbers=_rounded(numbers))


def _holding(here: Array, there: Array) -> float:
    own = _agreement(here, there)
    return float((own >= _WHOLE).mean())


def _agreement(here: Array, there: Array) -> Array:
    """Return the share of each row's supervised places, (rows,), at which the two are the same; nan where there is none."""
    counted = here != IGNORED
    places = counted.sum(axis=1)
    same = ((here == there) & counted).sum(axis=1)
    result: Array = np.where(places > 0, same / np.maximum(places, 1), np.nan)
    return result


def _elsewhere(here: Array, there: Array) -> dict[str, float]:
    """Return how many of the targets `here` are another row's tokens `there`, each of which is used once."""
    supervised = np.flatnonzero((here != IGNORED).any(axis=1))
    chosen = np.random.default_rng(0).permutation(supervised)[:_SEARCHED]
    lengths = (here != IGNORED).sum(axis=1)
    covered, by_chance = [], []
    for row in chosen.tolist():
        places = np.flatnonzero(here[row] != IGNORED)
        with_it, same = _matching(there, here[row], places), _matching(here, here[row], places)
        covered.append(min(1.0, len(with_it) / int((lengths[same] == len(places)).sum())))
        rates = [float((there[:, place] == here[row, place]).mean()) for place in places.tolist()]
        by_chance.append(1 - np.exp(-len(here) * np.prod(rates)))
    moved = {by: float((_agreement(here, np.roll(there, by, axis=0)) >= _WHOLE).mean()) for by in (-1, 1)}
    best = max(moved, key=lambda by: moved[by])
    return {
        "elsewhere": float(np.mean(covered)),
        "by_chance": float(np.mean(by_chance)),
        "shifted_by": float(-best),
        "shifted": moved[best],
    }


def _matching(rows: Array, wanted: Array, places: Array) -> Array:
    """Return which of `rows` have the tokens of `wanted` at `places`."""
    left = np.arange(len(rows))
    for place in places.tolist():
        left = left[rows[left, place] == wanted[place]]
        if not len(left):
            break
    return left


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(number, 4) for name, number in numbers.items()}
