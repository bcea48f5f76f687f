"""A simple model of the rows, trained in a second: what any model should be able to see in them.

Words or token ids are hashed, and naive Bayes and logistic regression read them; numbers are standardised, for a linear
discriminant and for extremely random trees, since a linear model is blind to what lies in combinations (XOR). All of
them bear a share of wrong targets well. Targets that are numbers get a ridge regression.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tunewell.data.checked_rows import IGNORED, Array, CheckedRows

Kind = Literal["bayes", "logistic", "discriminant", "trees"]
FOLDS = 5
_HASHED = 2**16
_WIDEST = 512
"""Wider inputs are projected at random to this many features (Johnson-Lindenstrauss): distances stay within a tenth."""
_BY_POSITION = 64
"""Token ids count with their position too in rows up to this long."""
_MOST_LOGISTIC = 50_000_000
"""Numbers × classes up to which logistic regression takes seconds."""
_MOST_TREE_FEATURES = 128
_SHRINKAGE = 0.1
"""Of the covariance towards a round one: it must be invertible with fewer rows than features too."""
LEAST = -20.0
"""Least log-probability: nobody is surer."""


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


def out_of_sample(matrix: Any, classes: Array, kind: Kind, *, balanced: bool = False, seed: int = 0) -> Array:
    """Return what models trained without a row say of its class: log-probabilities, float64 (rows, number of classes).

    `matrix` (rows, features), `classes` int (rows,) from 0; five folds keep the class shares. `balanced`: classes count alike.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    sizes = np.bincount(classes)
    splitter = StratifiedKFold if int(sizes[sizes > 0].min()) >= FOLDS else KFold
    folds = splitter(FOLDS, shuffle=True, random_state=seed)
    found = np.empty((len(classes), len(sizes)))
    for train, held_out in folds.split(np.zeros(len(classes)), classes):
        model = fitted(matrix[train], classes[train], kind, balanced=balanced)
        found[held_out] = log_probabilities(model, matrix[held_out], len(sizes))
    return found


def kinds(matrix: Any, classes: int) -> list[Kind]:
    """Return the models to try on `matrix`, the quickest first; those left out would take minutes."""
    if hasattr(matrix, "tocsr"):
        return ["bayes", "logistic"] if matrix.nnz * classes <= _MOST_LOGISTIC else ["bayes"]
    return ["discriminant", "trees"] if may_grow(matrix) else ["discriminant"]


def may_grow(matrix: Any) -> bool:
    """Return whether trees on `matrix` take seconds."""
    return not hasattr(matrix, "tocsr") and bool(matrix.shape[1] <= _MOST_TREE_FEATURES)


def fitted(matrix: Any, classes: Array, kind: Kind, *, balanced: bool = False) -> Any:
    """Return a classifier trained on the rows of `matrix`."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    there = len(np.unique(classes))
    weights = "balanced" if balanced else None
    if there < 2:
        return DummyClassifier(strategy="prior").fit(matrix, classes)
    match kind:
        case "bayes":
            return MultinomialNB(alpha=0.3, fit_prior=not balanced).fit(matrix, classes)
        case "logistic":
            model = LogisticRegression(C=2.0, max_iter=100, tol=1e-3, class_weight=weights)
            return _quiet(model.fit)(matrix, classes)
        case "discriminant":
            priors = np.full(there, 1 / there) if balanced else None
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=priors)
            return _quiet(model.fit)(matrix, classes)
        case "trees":
            model = ExtraTreesClassifier(50, min_samples_leaf=5, class_weight=weights, random_state=0)
            return model.fit(matrix, classes)


def log_probabilities(model: Any, matrix: Any, classes: int) -> Array:
    """Return what `model` says of the rows of `matrix`, (rows, classes), bounded; classes it never saw get the least."""
    found = np.full((matrix.shape[0], classes), LEAST)
    with np.errstate(divide="ignore"):
        told = np.log(model.predict_proba(matrix))
    found[:, model.classes_] = np.maximum(told, LEAST)
    return found


def predicted_numbers(matrix: Any, numbers: Array, *, trees: bool = False, seed: int = 0) -> Array:
    """Return what models trained without a row say of its numbers, (rows, outputs): ridge regressions, or trees."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold

    found = np.zeros_like(numbers)
    for train, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(numbers):
        model: Any = Ridge(1.0 if hasattr(matrix, "tocsr") else 10.0)
        if trees:
            model = ExtraTreesRegressor(50, min_samples_leaf=3, random_state=0)
        model.fit(matrix[train], numbers[train] if numbers.shape[1] > 1 else numbers[train, 0])
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
