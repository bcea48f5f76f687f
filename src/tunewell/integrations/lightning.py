"""`TunewellCallback` for Lightning's `Trainer`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from torch import Tensor

from tunewell.integrations.logs._names import columns_of
from tunewell.integrations.watcher import Watcher

_LOGGER = logging.getLogger("tunewell")


class TunewellCallback(pl.Callback):  # type: ignore[misc]  # lightning is not typed
    """Watches the training of a Lightning `Trainer`: ``Trainer(callbacks=[TunewellCallback()])``.

    The record goes to ``runs/<name>/log.jsonl``, which `tunewell why` and `tunewell runs` read; `name` is the module's
    class unless it is given. `folder` None writes nothing. `validation_loss` names the metric that is the validation
    loss; by default the first whose name says so, such as ``val_loss``. `num_classes`, `policy`, `on`, `monitors` and
    `probe_steps` are as in `tunewell.watch`.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        folder: str | Path | None = "runs",
        validation_loss: str | None = None,
        num_classes: int | None = None,
        policy: str = "observe",
        on: Mapping[str, str] | None = None,
        monitors: Mapping[str, Literal[False] | dict[str, Any]] | None = None,
        probe_steps: int = 20,
    ) -> None:
        self.watch: Watcher | None = None
        """The watcher of the newest training; None before the first."""
        self._name, self._folder, self._policy, self._on = name, folder, policy, on
        self._validation_loss, self._num_classes = validation_loss, num_classes
        self._monitors, self._probe_steps = monitors, probe_steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch."""
        if self.watch is not None:
            self.watch.close("failed", "the training did not come to its end")
            self.watch = None
        if not trainer.is_global_zero:
            return
        if len(trainer.optimizers) != 1:
            _LOGGER.warning(
                "not watched: %d optimizers, whose losses can't be told apart", len(trainer.optimizers)
            )
            return
        steps = trainer.estimated_stepping_batches
        self.watch = Watcher(
            pl_module,
            trainer.optimizers[0],
            scheduler=next((config.scheduler for config in trainer.lr_scheduler_configs), None),
            total_steps=int(steps) if math.isfinite(steps) and steps > 0 else None,
            num_classes=self._num_classes,
            name=self._name or type(pl_module).__name__,
            folder=self._folder,
            policy=self._policy,
            on=self._on,
            monitors=self._monitors,
            probe_steps=self._probe_steps,
        )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """See the batch: its forward pass comes next, whatever of the module it goes through."""
        if self.watch is not None:
            self.watch.forward_begins(batch)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """See which modules are in training mode during an evaluation."""
        if self.watch is not None:
            self.watch.forward_begins(batch)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Note the loss of a micro-batch."""
        if self.watch is not None:
            self.watch.loss(loss)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the training where the policy says so."""
        if self.watch is not None and self.watch.should_stop:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note an evaluation, if the module logs a loss of its own for it."""
        if self.watch is None or trainer.sanity_checking:
            return
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        columns = columns_of(numbers, {}, Path())
        loss = self._validation_loss or columns.roles.get("validation_loss")
        if loss in numbers:
            self.watch.evaluated(
                numbers[loss], {name: numbers[column] for name, column in columns.scores.items()}
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the record."""
        if self.watch is not None:
            self.watch.close("stopped" if self.watch.should_stop else "completed")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End the record of a training that failed, or that a person ended."""
        if self.watch is not None:
            status: Literal["interrupted", "failed"] = (
                "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed"
            )
            self.watch.close(status, f"{type(exception).__name__}: {exception}".strip(": "))
