"""Updates as measured on the device become records: one transfer for as many as are waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tunewell.inspections import Inspected
from tunewell.records import Step
from tunewell.training.looking import inspected
from tunewell.training.loop import Update

STANDS_OUT = 0.5
"""Share of a batch's loss from which a single row is named in the record."""

CountLabels = Callable[[np.ndarray], dict[str, int] | None]
"""Rows of each class among those at (rows,) positions of the training split."""


def to_records(
    updates: Sequence[Update], row_ids: np.ndarray, count_labels: CountLabels = lambda _: None
) -> list[tuple[Step, Inspected | None, np.ndarray]]:
    """Return each update's records and its per-row losses (float32, in the order of `Update.rows`).

    `row_ids` are the ids of the training split's rows.
    """
    numbers = iter(_fetch([t for update in updates for t in _scalars(update)]))
    records = []
    for update in updates:
        loss, norm, finite = next(numbers), next(numbers), next(numbers)
        gradients = {layer: next(numbers) for layer in update.layer_gradients or ()}
        moves = {layer: next(numbers) for layer in update.layer_updates or ()}
        per_row = update.per_row.float().cpu().numpy()
        look = update.look
        seen = None if look is None else inspected(look, update.step, [next(numbers) for _ in look.shown])
        step = Step(
            time=time.time(),
            step=update.step,
            cursor=update.cursor,
            epoch=round(update.epoch, 6),
            stage=update.stage,
            loss=loss,
            learning_rate=update.learning_rate,
            gradient_norm=norm,
            max_grad_norm=update.max_grad_norm,
            skipped=not finite,
            rows=len(update.rows),
            tokens=update.tokens,
            seconds=update.seconds,
            data_seconds=update.data_seconds,
            layer_gradients=gradients or None,
            layer_updates=moves or None,
            worst_rows=worst_rows(per_row, row_ids[update.rows], finite=bool(finite)),
            label_counts=count_labels(update.rows),
        )
        records.append((step, seen, per_row))
    return records


def label_counter(problem: str, targets: np.ndarray, names: Sequence[str]) -> CountLabels:
    """Return what counts the classes of a batch of a single-label task, and nothing of others."""
    if problem != "single_label":
        return lambda _: None

    classes = np.array(targets)  # in memory: rows of a batch are spread over the whole file

    def counted(rows: np.ndarray) -> dict[str, int]:
        found: dict[str, int] = {}
        for label in sorted(classes[rows].tolist()):
            found[names[label]] = found.get(names[label], 0) + 1
        return found

    return counted


def worst_rows(
    losses: np.ndarray, rows: np.ndarray, *, finite: bool, most: int = 5
) -> list[tuple[int, float]]:
    """Return the rows that made most of a batch's loss, worst first; none in an ordinary batch.

    A row counts when its loss is not finite or makes half of the batch's; after an update that was refused the
    worst ones are kept whatever their share.
    """
    broken = ~np.isfinite(losses)
    if broken.any():
        chosen = np.flatnonzero(broken)
    else:
        share = np.abs(losses) / max(float(np.abs(losses).sum()), 1e-30)
        chosen = np.flatnonzero(share > STANDS_OUT) if len(losses) > 2 else np.zeros(0, dtype=int)
        if not finite:
            chosen = np.arange(len(losses))
        chosen = chosen[np.argsort(-share[chosen], kind="stable")]
    return [(int(rows[i]), float(losses[i])) for i in chosen[:most]]


def _scalars(update: Update) -> list[Tensor]:
    layers = [*(update.layer_gradients or {}).values(), *(update.layer_updates or {}).values()]
    seen = update.look.shown.values() if update.look else ()
    return [update.loss, update.gradient_norm, update.finite, *layers, *seen]


def _fetch(scalars: list[Tensor]) -> list[float]:
    # fp32 on the device: MPS has no fp64
    numbers: list[float] = torch.stack([tensor.detach().float().reshape(()) for tensor in scalars]).tolist()
    return numbers
