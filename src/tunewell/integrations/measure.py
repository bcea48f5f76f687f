"""Updates of somebody else's loop become records: one transfer for as many as are waiting."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunewell.inspections import Inspected
from tunewell.integrations.look import of_losses
from tunewell.integrations.update import MicroBatch, Update
from tunewell.records import Step
from tunewell.training.measure import worst_rows


def to_records(
    updates: Sequence[Update], class_names: Sequence[str], epoch_of_row: float
) -> list[tuple[Step, Inspected | None]]:
    """Return each update's records. `epoch_of_row` is the share of an epoch that one row makes, 0 if not known."""
    wanted = [_numbers(update) for update in updates]
    values = iter(_fetch([tensor for numbers in wanted for tensor in numbers.values()]))
    fetched = [{name: next(values) for name in numbers} for numbers in wanted]
    for update, numbers in zip(updates, fetched, strict=True):
        is_alike = math.isclose(numbers["given"], numbers["loss"], rel_tol=1e-3)
        update.is_plain = len(update.passes) == 1 and update.looked_at and is_alike
    return [
        (_step(update, numbers, class_names, epoch_of_row), _inspected(update, numbers))
        for update, numbers in zip(updates, fetched, strict=True)
    ]


def objective(passes: Sequence[MicroBatch]) -> Tensor:
    """Return the mean loss over the update's targets, 0-d: that of its micro-batches, weighted by what counts."""
    whole = [one.seen for one in passes if one.seen is not None and one.seen.is_all]
    if len(whole) == len(passes):
        loss_sum = torch.stack([one.loss_sum for one in whole]).sum()
        return loss_sum / torch.stack([one.count for one in whole]).sum()
    return as_given(passes)


def as_given(passes: Sequence[MicroBatch]) -> Tensor:
    """Return the mean of the losses as they were given, 0-d, weighted by rows.

    A loss that is divided by the number of its update's micro-batches is told undivided.
    """
    if len(passes) == 1:
        return passes[0].loss
    losses = torch.stack(
        [one.loss.float() * (one.divisor if one.divisor == len(passes) else 1.0) for one in passes]
    )
    sizes = torch.tensor([float(max(1, one.row_count)) for one in passes], device=losses.device)
    return (losses * sizes).sum() / sizes.sum()


def _numbers(update: Update) -> dict[str, Tensor]:
    numbers = {"loss": objective(update.passes), "given": as_given(update.passes)}
    if update.norms is not None:
        numbers["norm"] = update.norms.total
    numbers |= {f"gradient/{layer}": norm for layer, norm in update.gradients.items()}
    numbers |= {f"move/{layer}": move for layer, move in update.moves.items()}
    if update.looked_at:
        of_losses(update)
        numbers |= update.shown
    return numbers


def _fetch(scalars: Sequence[Tensor]) -> list[float]:
    device = scalars[0].device
    # fp32 on the device: MPS has no fp64
    alike = [
        tensor
        if tensor.dtype == torch.float32 and tensor.device == device and tensor.dim() == 0
        else tensor.to(device).float().reshape(())
        for tensor in scalars
    ]
    numbers: list[float] = torch.stack(alike).tolist()
    return numbers


def _step(
    update: Update, numbers: Mapping[str, float], class_names: Sequence[str], epoch_of_row: float
) -> Step:
    rows = sum(one.row_count for one in update.passes)
    return Step(
        time=time.time(),
        step=update.step,
        cursor=update.step - 1,
        epoch=round(update.rows_before * epoch_of_row + rows * epoch_of_row, 6),
        stage=0,
        loss=numbers["loss"],
        given=None if math.isclose(numbers["given"], numbers["loss"], rel_tol=1e-3) else numbers["given"],
        learning_rate=update.learning_rate,
        gradient_norm=numbers.get("norm", 0.0),
        max_grad_norm=update.max_grad_norm,
        skipped=update.skipped,
        rows=rows,
        tokens=sum(one.tokens for one in update.passes),
        seconds=update.seconds,
        data_seconds=update.data_seconds,
        layer_gradients=_part(numbers, "gradient/") or None,
        layer_updates=_part(numbers, "move/") or None,
        worst_rows=_worst(update),
        label_counts=_label_counts(update, class_names),
    )


def _inspected(update: Update, numbers: Mapping[str, float]) -> Inspected | None:
    if not update.looked_at:
        return None
    fields: dict[str, Any] = {"time": time.time(), "step": update.step, **update.told}
    for name, value in fields.items():
        if isinstance(value, dict):
            fields[name] = _part(numbers, f"{name}/")
    fields |= {name: numbers[name] for name in update.shown if "/" not in name}
    fields["phase_seconds"] = None if update.phases is None else update.phases.seconds
    return Inspected(**fields)


def _part(numbers: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {name[len(prefix) :]: value for name, value in numbers.items() if name.startswith(prefix)}


def _worst(update: Update) -> list[tuple[int, float]]:
    known = [one for one in update.passes if one.rows is not None and one.row_losses is not None]
    if not known or len(known) < len(update.passes):
        return []
    rows = np.concatenate([np.asarray(one.rows) for one in known])
    losses = np.concatenate([to_numpy(one.row_losses) for one in known if one.row_losses is not None])
    if len(rows) != len(losses):
        return []
    return worst_rows(losses, rows, finite=not update.skipped)


def _label_counts(update: Update, class_names: Sequence[str]) -> dict[str, int] | None:
    targets = [one.targets for one in update.passes]
    known = [one for one in targets if one is not None and one.dim() == 1 and not one.is_floating_point()]
    if not known or len(known) < len(targets):
        return None
    counts = Counter(label for one in known for label in one.tolist())
    return {name_of(label, class_names): counts[label] for label in sorted(counts)}


def name_of(label: int, class_names: Sequence[str]) -> str:
    """Return the name of a class, or its number where it has none."""
    return class_names[label] if 0 <= label < len(class_names) else str(label)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers; half precision becomes single."""
    moved = tensor.detach().cpu()
    return (moved.float() if moved.dtype == torch.bfloat16 else moved).numpy()
