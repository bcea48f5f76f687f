"""A simple model of the rows, trained in a second: what any model should be able to see in them.

Hashed words or token ids, or standardised numbers; logistic regression, ridge for numbers. For features that are numbers
extremely random trees are tried beside it, since a linear model is blind to what lies in combinations (XOR).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tunewell.data.checked_rows import IGNORED, Array, CheckedRows

FOLDS = 5
_HASHED = 2**16
_WIDEST = 512
"""Wider inputs are projected at random to this many features (Johnson-Lindenstrauss): distances stay within a tenth."""
_BY_POSITION = 64
"""Token ids count with their position too in rows up to this long."""


def features(rows: CheckedRows) -> Any:
    """Return the rows as a matrix, (rows, features): sparse for texts and tokens, float32 for numbers."""
    if rows.kind == "numbers":
        return _standardised(np.asarray(rows.inputs, dtype=np.float32))
    from sklearn.feature_extraction.text import HashingVectorizer

    if rows.kind == "texts":
        spaced = has_words(rows)
        vectorizer = HashingVectorizer(
            n_features=_HASHED,
            alternate_sign=False,
            analyzer="word" if spaced else "char",
            ngram_range=(1, 2),
            token_pattern=r"(?u)\b\w+\b",
        )
        return _shared(vectorizer.transform(rows.inputs))
    vectorizer = HashingVectorizer(n_features=_HASHED, alternate_sign=False, analyzer=_id_grams)
    return _shared(vectorizer.transform(rows.inputs))


def _shared(matrix: Any) -> Any:
    """Return the columns of a sparse `matrix` that two rows have: of others nothing is learned for rows not seen.

    They are a tenth of all, and a solver's time goes with their number.
    """
    found = np.flatnonzero(matrix.getnnz(axis=0) > 1)
    return matrix[:, found] if len(found) else matrix


def has_words(rows: CheckedRows) -> bool:
    """Return whether spaces part the texts into words, as they don't in Chinese."""
    sample = "\n".join(str(text) for text in rows.inputs[:200])
    return len(sample) <= 12 * max(1, len(sample.split()))


def _id_grams(ids: Array) -> list[str]:
    known = [one for one in ids.tolist() if one >= 0]
    grams = [str(one) for one in known]
    grams += [f"{one},{two}" for one, two in itertools.pairwise(known)]
    if len(known) <= _BY_POSITION:
        grams += [f"{place}:{one}" for place, one in enumerate(known)]
    return grams


def _standardised(numbers: Array) -> Array:
    numbers = np.nan_to_num(numbers, posinf=0.0, neginf=0.0)
    if numbers.shape[1] > _WIDEST:
        generator = np.random.default_rng(0)
        projection = generator.standard_normal((numbers.shape[1], _WIDEST), dtype=np.float32)
        numbers = (numbers - numbers.mean(axis=0)) @ projection
    deviation = numbers.std(axis=0)
    result: Array = (numbers - numbers.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return result


def out_of_sample(matrix: Any, classes: Array, *, trees: bool = False, seed: int = 0) -> Array:
    """Return what models trained without a row say of its class: probabilities, float64 (rows, number of classes).

    `matrix` (rows, features), `classes` int (rows,) from 0; five folds keep the class shares. A class that a fold lacks
    gets probability 0 there.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    smallest = int(np.bincount(classes)[np.unique(classes)].min())
    kind = StratifiedKFold if smallest >= FOLDS else KFold
    folds = kind(FOLDS, shuffle=True, random_state=seed)
    found = np.zeros((len(classes), int(classes.max()) + 1))
    for train, held_out in folds.split(np.zeros(len(classes)), classes):
        if len(np.unique(classes[train])) < 2:
            found[held_out, classes[train[0]]] = 1.0
            continue
        model = fitted(matrix[train], classes[train], trees=trees)
        found[np.ix_(held_out, model.classes_)] = model.predict_proba(matrix[held_out])
    return found


def fitted(matrix: Any, classes: Array, *, trees: bool = False) -> Any:
    """Return a classifier trained on the rows of `matrix`; classes count alike."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    if trees:
        model = ExtraTreesClassifier(100, min_samples_leaf=2, class_weight="balanced", random_state=0)
        return model.fit(matrix, classes)
    # Sparse rows are of length 1 and want little regularisation; standardised numbers want more.
    # Newton's method in 65,536 sparse features takes a fifteenth of the time of L-BFGS, whose steps are dense.
    is_sparse = hasattr(matrix, "tocsr")
    model = LogisticRegression(
        C=10.0 if is_sparse else 0.1,
        solver="newton-cg" if is_sparse else "lbfgs",
        max_iter=100,
        tol=1e-3,
        class_weight="balanced",
    )
    return _quiet(model.fit)(matrix, classes)


def predicted_numbers(matrix: Any, numbers: Array, seed: int = 0) -> Array:
    """Return what ridge regressions trained without a row say of its numbers, (rows, outputs)."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold

    found = np.zeros_like(numbers)
    for train, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(numbers):
        model = Ridge(1.0 if hasattr(matrix, "tocsr") else 10.0).fit(matrix[train], numbers[train])
        found[held_out] = np.asarray(model.predict(matrix[held_out])).reshape(len(held_out), -1)
    return found


def single_classes(rows: CheckedRows) -> Array | None:
    """Return one class a row, int64 (rows,), -100 for none; None where targets are not classes.

    Of rows with several labels: whether the most evenly divided label holds.
    """
    if rows.target_kind == "classes":
        return rows.targets
    if rows.target_kind == "several" and rows.targets.shape[1]:
        shares = rows.targets.mean(axis=0)
        column: Array = rows.targets[:, int(np.argmin(np.abs(shares - 0.5)))].astype(np.int64)
        return column
    return None


def compact(classes: Array) -> tuple[Array, Array]:
    """Return which rows have a class, (n,), and their classes renumbered without gaps, (n,)."""
    supervised = np.flatnonzero(classes != IGNORED)
    _, numbered = np.unique(classes[supervised], return_inverse=True)
    return supervised, numbered.astype(np.int64)


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` without the warnings that the solver stopped early, which costs a check nothing."""

    def call(*arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)

    return call
