"""How many targets are wrong, and which: what independent models say of rows, and what the rows were given.

A model m that did not see a row says log p_m(k) of each class k. The right class has probability s(k) = softmax(Σ w_m log p_m(k)),
and the given one is the right one, or by chance another: P(given j) = Σ_k s(k) T(k, j). The weights w and the
transitions T are those under which the given targets are likeliest. So the weights take away whatever confidence
the models have without being right, which is what makes hard rows look mislabelled; what is left for T is
contradiction that stays as large where the models are surest. Bayes' rule then gives each row the probability that its target
is wrong. T begins as one rate for all classes; a rate for each pair of classes is taken only where it explains much more,
since the models' own confusions look like it.

The idea of a transition fitted with the classifier is that of Mnih and Hinton (2012) and of Goldberger and Ben-Reuven
(2017); of confidences from out-of-sample predictions that of confident learning (Northcutt et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewell.data.checked_rows import Array

MOST_NUMBERS = 400_000
"""Rows × classes that the model is fitted on, drawn at random; it has few parameters."""
_PAIRS_GAIN = 0.035
"""Nats a row by which rates for each pair must explain the targets better than one rate for all. Measured on tables
and pictures: confusions of poor models gain up to 0.025, targets flipped to one other class 0.044 to 0.17."""
_MOST_CLASSES = 50
"""Classes up to which rates for each pair are tried."""
_PSEUDO_ROWS = 30.0
"""Rows of each class that are taken to follow the common rate."""
_STARTS = ((0.5, 0.02), (2.0, 0.2), (4.0, 0.4))
"""Weights and rates that the search begins with: with weak models and many wrong targets it has several ends."""
_SIZES = (-6.0, 2.5)
"""Bounds of the logarithms of the weights."""


@dataclass(frozen=True)
class NoiseModel:
    """What the targets given, and what models say of the rows, have to do with each other."""

    weights: Array
    """(sources,) what each model's log-probabilities count."""
    transition: Array
    """(classes, classes) probability of the given class (columns) where another is right (rows)."""
    evidence: float
    """Twice the logarithm of the likelihood ratio to "all targets are right": beyond 4 that is unlikely."""

    def right(self, sources: Sequence[Array], given: Array) -> Array:
        """Return how likely each class is the right one, (rows, classes), knowing also which was `given`, (rows,)."""
        joint = _softened(_by_class(sources), self.weights) * self.transition[:, given]
        result: Array = (joint / joint.sum(axis=0)).T
        return result

    def told(self, sources: Sequence[Array]) -> Array:
        """Return how likely each class is the given one, (rows, classes), without knowing which was."""
        result: Array = _softened(_by_class(sources), self.weights).T @ self.transition
        return result


def fit_noise(sources: Sequence[Array], given: Array) -> NoiseModel:
    """Return the model under which the `given` classes, int (rows,), are likeliest.

    `sources` are log-probabilities, (rows, classes) each, of models that did not see the row's target.
    """
    rows, classes = sources[0].shape
    most = max(1_000, MOST_NUMBERS // classes)
    if rows > most:
        some = np.random.default_rng(0).permutation(rows)[:most]
        sources, given = [source[some] for source in sources], given[some]
    sources = _by_class(sources)
    weights, rate, likelihood = _one_rate(sources, given)
    transition = _common(classes, rate)
    if 2 < classes <= _MOST_CLASSES:
        by_pair = _rates_by_pair(sources, given, weights, rate)
        if by_pair[2] - likelihood > _PAIRS_GAIN * len(given):
            weights, transition, likelihood = by_pair
    sound = _fitted_weights(sources, given, _common(classes, 1e-6), np.full(len(sources), 0.5))[1]
    return NoiseModel(weights, transition, 2 * (likelihood - sound))


def _common(classes: int, rate: float) -> Array:
    """Return the transitions where each class is mistaken at `rate`, and all others are equally likely then."""
    result: Array = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(result, 1 - rate)
    return result


def _by_class(sources: Sequence[Array]) -> list[Array]:
    """Return (rows, classes) as (classes, rows): sums over few classes are many times quicker so."""
    return [np.ascontiguousarray(source.T, dtype=np.float64) for source in sources]


def _softened(sources: Sequence[Array], weights: Array) -> Array:
    """Return the probabilities of the right class, (classes, rows)."""
    joined: Array = np.zeros(sources[0].shape)
    for weight, source in zip(weights, sources, strict=True):
        joined += weight * source
    joined = np.exp(joined - joined.max(axis=0))
    joined /= joined.sum(axis=0)
    return joined


def _one_rate(sources: Sequence[Array], given: Array) -> tuple[Array, float, float]:
    """Return weights, the common rate of mistakes, and the log-likelihood."""
    from scipy.optimize import minimize

    classes, rows = sources[0].shape
    each = np.arange(rows)
    most = 0.95 * (classes - 1) / classes

    def loss(point: Array) -> tuple[float, Array]:
        weights, share = np.exp(point[:-1]), 1 / (1 + np.exp(-point[-1]))
        rate = most * share
        right = _softened(sources, weights)
        here = right[given, each]
        likely = np.maximum((1 - rate) * here + rate / (classes - 1) * (1 - here), 1e-12)
        slope = (1 - rate - rate / (classes - 1)) * here / likely
        by_weight = [
            -weight * float((slope * (source[given, each] - (right * source).sum(axis=0))).sum())
            for weight, source in zip(weights, sources, strict=True)
        ]
        by_rate = -float((((1 - here) / (classes - 1) - here) / likely).sum()) * most * share * (1 - share)
        gradient = np.array([*by_weight, by_rate]) + np.append(0.02 * point[:-1], 0.0)
        return -float(np.log(likely).sum()) + 0.01 * float((point[:-1] ** 2).sum()), gradient

    bounds = [_SIZES] * len(sources) + [(-12.0, 8.0)]
    ends = []
    for size, rate in _STARTS:
        share = min(0.99, rate / most)
        begin = np.append(np.full(len(sources), np.log(size)), np.log(share / (1 - share)))
        ends.append(minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds))
    best = min(ends, key=lambda end: float(end.fun))
    return np.exp(best.x[:-1]), float(most / (1 + np.exp(-best.x[-1]))), -float(best.fun)


def _fitted_weights(
    sources: Sequence[Array], given: Array, transition: Array, begin: Array
) -> tuple[Array, float]:
    """Return the likeliest weights under `transition`, and the log-likelihood."""
    from scipy.optimize import minimize

    into = transition[:, given]

    def loss(point: Array) -> tuple[float, Array]:
        weights = np.exp(point)
        right = _softened(sources, weights)
        likely = np.maximum((right * into).sum(axis=0), 1e-12)
        slope = right * (into / likely - 1)
        gradient = [-w * float((slope * source).sum()) for w, source in zip(weights, sources, strict=True)]
        penalty = 0.01 * float((point**2).sum())
        return -float(np.log(likely).sum()) + penalty, np.array(gradient) + 0.02 * point

    end = minimize(loss, np.log(begin), jac=True, method="L-BFGS-B", bounds=[_SIZES] * len(sources))
    return np.exp(end.x), -float(end.fun)


def _rates_by_pair(
    sources: Sequence[Array], given: Array, weights: Array, rate: float
) -> tuple[Array, Array, float]:
    """Return weights, transitions of their own for each pair of classes, and the log-likelihood, by EM."""
    classes = len(sources[0])
    ours = np.eye(classes)[given]
    best: tuple[Array, Array, float] | None = None
    for begin, common in ((weights, max(rate, 0.02)), (np.full(len(sources), 2.0), 0.3)):
        w, transition = begin, _common(classes, common)
        for _ in range(5):
            w, likelihood = _fitted_weights(sources, given, transition, w)
            if best is None or likelihood > best[2]:
                best = w, transition, likelihood
            right = _softened(sources, w)
            for _ in range(5):
                joint = right * transition[:, given]
                counts = (joint / joint.sum(axis=0)) @ ours
                wrong = 1 - float(np.trace(counts)) / len(given)
                counts += _PSEUDO_ROWS * _common(classes, min(max(wrong, 1e-4), 0.9))
                transition = counts / counts.sum(axis=1, keepdims=True)
    assert best is not None
    return best
