"""What a loss and its backward pass show: read from the graph before, from the gradients after."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import Variable

from tunewell.integrations.update import MicroBatch
from tunewell.probes import graph
from tunewell.problems import Problem, RunError


def micro_batch(
    loss: Tensor,
    row_count: int,
    tokens: int,
    rows: list[int] | None,
    row_losses: Tensor | None,
    targets: Tensor | None,
    *,
    whole: bool,
) -> MicroBatch:
    """Return what is known of `loss` before its backward pass; what is not given is read from its graph.

    `row_count` is the batch's number of rows as the model saw it, 0 if it is not known. Not `whole`: only the classes are
    read, which costs next to nothing. Raises `RunError` for what is
    no loss, or when the graph is gone already.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        fix = "give the mean over the batch; losses of rows go into `row_losses`"
        raise RunError(Problem("run", f"a loss is one number, and this is {shape}", fix=fix))
    try:
        seen = graph.loss_seen(loss) if whole else None
        if not whole and targets is None:
            targets = graph.classes_seen(loss)
    except RuntimeError as error:
        fix = "call `watch.loss(loss)` before `loss.backward()`"
        raise RunError(
            Problem("run", "the loss's graph is gone: it went backward already", fix=fix)
        ) from error
    found = MicroBatch(
        loss=loss.detach().reshape(()),
        divisor=graph.divisor(loss),
        seen=seen,
        rows=rows,
        row_losses=None if row_losses is None else row_losses.detach().reshape(-1),
        targets=None if targets is None else torch.as_tensor(targets).detach(),
        row_count=row_count or (len(rows) if rows else 0),
        tokens=tokens,
    )
    if not found.row_count and targets is not None:
        found.row_count = len(targets)
    if found.targets is not None and len(found.targets) != found.row_count:
        found.targets = None
    if seen is None:
        return found
    if not found.row_count and seen.targets.dim():
        found.row_count = len(seen.targets)
    if found.rows is not None and len(found.rows) != found.row_count:
        found.rows = None  # cut into micro-batches: which rows these are is not known
    if found.targets is None and seen.log_probabilities is not None and seen.targets.dim() == 1:
        found.targets = seen.targets if len(seen.targets) == found.row_count else None
    if found.row_losses is None:
        found.row_losses = _by_row(seen, found.row_count)
    return found


def _by_row(seen: graph.LossSeen, rows: int) -> Tensor | None:
    """Return (rows,) mean losses over each row's targets that count; None where targets are not whole rows."""
    if not rows or seen.losses.numel() % rows or seen.losses.numel() == 0:
        return None
    counts = seen.counts.reshape(rows, -1).sum(1).clamp_min(1)
    return seen.losses.reshape(rows, -1).sum(1) / counts


def on_backward(loss: Tensor, began: Callable[[Tensor], bool], ended: Callable[[], None]) -> None:
    """Have `began` called with the gradient of `loss` as its backward pass begins, and `ended` behind the pass.

    `ended` comes after the last gradient is in place, and only if `began` says so.
    """
    if not loss.requires_grad:
        return

    def hook(gradient: Tensor) -> None:
        if began(gradient.detach()):
            Variable._execution_engine.queue_callback(ended)

    loss.register_hook(hook)
