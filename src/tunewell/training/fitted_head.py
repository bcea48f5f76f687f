"""The head solved on the frozen model's features before fine-tuning (LP-FT, Kumar et al. 2022).

A random head sends random gradients into the pre-trained layers for the first hundreds of updates; a head that
already fits what the features offer does not distort them. The last linear layer is solved by regularised logistic
(or ridge) regression on a sample of the training rows: one forward pass over them and a second of solving.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from tunewell.data.cache import Encoded
from tunewell.models.layers import HEAD, layer_by_parameter
from tunewell.problems import ModelError, Problem
from tunewell.tasks._protocol import Task
from tunewell.training.weights import Weights

MOST_ROWS = 1000
"""Rows that are enough to place a few hundred weights, in a few seconds on a processor."""


def fit_head(
    task: Task,
    weights: Weights,
    encoded: Encoded,
    problem: str,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> None:
    """Solve the last linear layer on features of at most `MOST_ROWS` training rows and load it into `weights`."""
    name, layer = _last_linear(weights.model)
    rows = np.arange(len(encoded))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    features = _features(task, weights.model, layer, encoded, rows, batch_size, device)
    weight, bias = _solve(features, np.asarray(encoded.targets)[rows], problem, layer.out_features)
    with torch.no_grad():
        weights.masters[f"{name}.weight"].copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            weights.masters[f"{name}.bias"].copy_(torch.from_numpy(bias))
    weights.load({n: m.detach() for n, m in weights.masters.items()})


def _last_linear(model: nn.Module) -> tuple[str, nn.Linear]:
    layers = layer_by_parameter(model)
    heads = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and layers.get(f"{name}.weight") == HEAD
    ]
    if not heads:
        raise ModelError(
            Problem(
                "model",
                "this model has no linear head that could be fitted",
                field="head_init",
                fix="use head_init: default",
            )
        )
    return heads[-1]


@torch.inference_mode()
def _features(
    task: Task,
    model: nn.Module,
    layer: nn.Linear,
    encoded: Encoded,
    rows: np.ndarray,
    batch_size: int,
    device: torch.device,
) -> np.ndarray:
    """Return what enters `layer`, (rows, features) in float64."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    by_length = rows[np.argsort(encoded.lengths[rows], kind="stable")]
    training = model.training
    model.eval()
    try:
        for start in range(0, len(by_length), batch_size):
            task.loss(model, task.collate(encoded, by_length[start : start + batch_size]).to(device))
    finally:
        hook.remove()
        model.train(training)
    features = torch.cat([tensor.reshape(len(tensor), -1).cpu().double() for tensor in seen]).numpy()
    return features[np.argsort(by_length, kind="stable")]


def _solve(
    features: np.ndarray, targets: np.ndarray, problem: str, outputs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (outputs, features) weights and (outputs,) biases that fit, features standardised while solving."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = (features - mean) / scale
    if problem == "regression":
        ridge = Ridge(alpha=float(inputs.shape[1])).fit(inputs, targets)
        weight, bias = ridge.coef_.reshape(1, -1), np.atleast_1d(ridge.intercept_)
    elif problem == "multi_label":
        parts = [_logistic(inputs, targets[:, c] > 0.5, 2) for c in range(outputs)]
        weight = np.stack([w[1] - w[0] for w, _ in parts])
        bias = np.array([b[1] - b[0] for _, b in parts])
    else:
        weight, bias = _logistic(inputs, targets, outputs)
    return (weight / scale).astype(np.float32), (bias - (weight / scale) @ mean).astype(np.float32)


def _logistic(inputs: np.ndarray, targets: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = np.zeros((classes, inputs.shape[1])), np.zeros(classes)
    present = np.unique(targets).astype(int)
    if len(present) < 2:
        return weight, bias
    solved = LogisticRegression(C=0.01, max_iter=500).fit(inputs, targets)
    if len(present) == 2:  # one row of coefficients: the log-odds of the second class
        weight[present[1]], weight[present[0]] = solved.coef_[0] / 2, -solved.coef_[0] / 2
        bias[present[1]], bias[present[0]] = solved.intercept_[0] / 2, -solved.intercept_[0] / 2
    else:
        weight[present], bias[present] = solved.coef_, solved.intercept_
    return weight, bias
