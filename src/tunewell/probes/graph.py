"""What the autograd graph of a loss tells before it is gone: the loss of each target, and what went into the loss.

PyTorch keeps for the backward pass what a loss function was given (log-probabilities, targets, weights). Reading it
costs nothing and asks nothing of the user's code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_SEARCHED = 64
"""Nodes of the graph that are searched for a known loss: it stands near the end, behind sums and weights."""
_SCALING = {"DivBackward0", "MulBackward0", "MulBackward1", "DivBackward1"}
_REDUCING = {"MeanBackward0", "SumBackward0"}
_RESHAPING = {
    "ViewBackward0",
    "UnsafeViewBackward0",
    "ReshapeAliasBackward0",
    "SqueezeBackward0",
    "SqueezeBackward1",
    "UnsqueezeBackward0",
    "ToCopyBackward0",
    "CloneBackward0",
    "AliasBackward0",
    "SelectBackward0",
    "SliceBackward0",
    "TransposeBackward0",
    "PermuteBackward0",
    "ConstantPadNdBackward0",
}
_PROBABILITIES = {"SoftmaxBackward0", "SigmoidBackward0"}
_MEAN, _SUM = 1, 2

Node = Any
"""A node of the graph: torch types its saved values only by name."""


@dataclass(frozen=True)
class LossSeen:
    """A loss function found in the graph, and what it was given. Tensors are detached."""

    loss_sum: Tensor
    """0-d: losses of all targets that count, weighted as the function weights them."""
    count: Tensor
    """0-d: the weights of those targets summed; without weights their number."""
    is_all: bool
    """The objective is this loss's mean or sum, scaled or not, and nothing else."""
    losses: Tensor
    """Loss of each target, in the targets' shape; 0 where it does not count."""
    counts: Tensor
    """Which targets count, same shape, bool."""
    targets: Tensor
    log_probabilities: Tensor | None = None
    """(targets, classes) of a cross-entropy."""
    of_probabilities: bool = False
    """The loss took what were probabilities already for logits."""
    guessing: Tensor | None = None
    """0-d: mean loss of a model that knows nothing."""


def loss_seen(loss: Tensor) -> LossSeen | None:
    """Return the first cross-entropy, squared error or binary cross-entropy behind `loss`, or None.

    Raises `RuntimeError` if the graph is gone, that is after the backward pass.
    """
    node = _known_loss(loss)
    if node is None:
        return None
    with torch.no_grad():
        return _READERS[node.name()](node, _is_all(loss.grad_fn, node))


def classes_seen(loss: Tensor) -> Tensor | None:
    """Return the (rows,) classes that the first cross-entropy behind `loss` was given, and nothing else; or None."""
    node = _known_loss(loss)
    if node is None or node.name() != "NllLossBackward0" or node._saved_target.dim() != 1:
        return None
    targets: Tensor = node._saved_target
    return targets


def _known_loss(loss: Tensor) -> Node | None:
    return next((node for node in behind(loss.grad_fn, _SEARCHED) if node.name() in _READERS), None)


def divisor(loss: Tensor) -> float:
    """Return the whole number of at least 2 by which `loss` was divided last, as for accumulation, else 1."""
    node = loss.grad_fn
    if node is None or node.name() not in _SCALING:
        return 1.0
    other = _scalar(node)
    if other is None or other == 0:
        return 1.0
    by = other if node.name().startswith("Div") else 1 / other
    return float(round(by)) if by > 1.5 and abs(by - round(by)) < 1e-4 else 1.0


def nodes(loss: Tensor, most: int) -> Iterator[Node]:
    """Yield up to `most` nodes of the graph of `loss`, from the loss to the inputs."""
    return behind(loss.grad_fn, most)


def behind(start: Node | None, most: int) -> Iterator[Node]:
    """Yield up to `most` nodes from `start` on (itself first), nearest first."""
    seen = {start}
    level = [start] if start is not None else []
    while level:
        coming = []
        for node in level:
            yield node
            for child, _ in node.next_functions:
                if child is not None and child not in seen:
                    if len(seen) >= most:
                        continue
                    seen.add(child)
                    coming.append(child)
        level = coming


def _scalar(node: Node) -> float | None:
    """Return the number that a node scales by; None: it is no single number."""
    other = getattr(node, "_saved_other", None)
    if isinstance(other, int | float):
        return float(other)
    if isinstance(other, Tensor) and other.numel() == 1 and other.is_cpu and not other.requires_grad:
        return float(other)
    return None


def _is_all(start: Node, end: Node) -> bool:
    node = start
    while node is not end:
        name = node.name()
        single = name in _RESHAPING or name in _REDUCING
        if name in _SCALING:
            other = getattr(node, "_saved_other", None)
            single = isinstance(other, int | float) or (isinstance(other, Tensor) and other.numel() == 1)
        onward = [child for child, _ in node.next_functions if child is not None]
        if not single or len(onward) != 1:
            return False
        node = onward[0]
    return True


def _before(node: Node) -> Node | None:
    """Return the node whose result went into `node`, reshaping and conversion left out."""
    while node.next_functions and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
        if node.name() not in _RESHAPING:
            return node
    return None


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _cross_entropy(node: Node, is_all: bool) -> LossSeen:
    log_probabilities, targets, weight = node._saved_self, node._saved_target, node._saved_weight
    ignored = _signed(node._saved_ignore_index)
    counts = targets != ignored
    chosen = targets.clamp_min(0) if ignored < 0 else torch.where(counts, targets, 0)
    losses = -log_probabilities.gather(1 if targets.dim() else 0, chosen.unsqueeze(min(1, targets.dim())))
    losses = losses.squeeze(min(1, targets.dim())).float() * counts
    weights = counts.float()
    if weight is not None:
        weights = weight.float()[chosen] * weights
        losses = losses * weights
    before = _before(node)
    source = _before(before) if before is not None and before.name() == "LogSoftmaxBackward0" else None
    rows = log_probabilities.detach()
    if targets.dim() != 1:
        rows = rows.reshape(1, -1) if targets.dim() == 0 else rows.movedim(1, -1).flatten(0, -2)
    return LossSeen(
        loss_sum=losses.sum(),
        count=weights.sum(),
        is_all=is_all,
        losses=losses,
        counts=counts,
        targets=targets.detach(),
        log_probabilities=rows,
        of_probabilities=source is not None and source.name() in _PROBABILITIES,
        guessing=torch.tensor(math.log(max(1, rows.shape[-1])), device=losses.device),
    )


def _squared_error(node: Node, is_all: bool) -> LossSeen:
    targets = node._saved_target.detach().float()
    losses = (node._saved_self.detach() - targets).float().square()
    return _of_all_targets(node, losses, is_all, guessing=targets.square().mean())


def _binary(node: Node, is_all: bool) -> LossSeen:
    weight, positive = node._saved_weight, node._saved_pos_weight
    losses = F.binary_cross_entropy_with_logits(
        node._saved_self.detach(), node._saved_target, weight, reduction="none", pos_weight=positive
    ).float()
    before = _before(node)
    return _of_all_targets(
        node,
        losses,
        is_all,
        before is not None and before.name() in _PROBABILITIES,
        guessing=torch.tensor(math.log(2), device=losses.device)
        if weight is None and positive is None
        else None,
    )


def _of_all_targets(
    node: Node, losses: Tensor, is_all: bool, of_probabilities: bool = False, guessing: Tensor | None = None
) -> LossSeen:
    return LossSeen(
        loss_sum=losses.sum(),
        count=torch.tensor(float(losses.numel()), device=losses.device),
        is_all=is_all,
        losses=losses,
        counts=torch.ones_like(losses, dtype=torch.bool),
        targets=node._saved_target.detach(),
        of_probabilities=of_probabilities,
        guessing=guessing,
    )


_READERS = {
    "NllLossBackward0": _cross_entropy,
    "NllLoss2DBackward0": _cross_entropy,
    "MseLossBackward0": _squared_error,
    "BinaryCrossEntropyWithLogitsBackward0": _binary,
}
