"""`TunewellCallback` for transformers' `Trainer`, and for TRL's trainers, which take the same callbacks."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewell.integrations.given_rows import MOST_ROWS
from tunewell.integrations.watcher import Status, Watcher

_NO_SCORES = ("loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


class TunewellCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Watches the training of a `Trainer`: ``Trainer(..., callbacks=[TunewellCallback()])``.

    The record goes to ``runs/<name>/log.jsonl``, which `tunewell why` and `tunewell runs` read; `name` is that of the
    Trainer's ``run_name``, else of its output folder. `folder` None writes nothing. `policy`, `on`, `monitors` and
    `probe_steps` are as in `tunewell.watch`.

    Each loss is seen as the Trainer computes it, before it is averaged and filtered for the log. Rows of a classifier are
    checked before the first update, training beside evaluation rows, if they are at most `MOST_ROWS`.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        folder: str | Path | None = "runs",
        policy: str = "observe",
        on: Mapping[str, str] | None = None,
        monitors: Mapping[str, Literal[False] | dict[str, Any]] | None = None,
        probe_steps: int = 20,
    ) -> None:
        self.watch: Watcher | None = None
        """The watcher of the newest training; None before the first."""
        self._name, self._folder, self._policy, self._on = name, folder, policy, on
        self._monitors, self._probe_steps = monitors, probe_steps
        self._let_go: list[Callable[[], object]] = []

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        lr_scheduler: Any = None,
        processing_class: Any = None,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        """Begin to watch."""
        self._end("failed", "the training did not come to its end")  # one before this, if it broke off
        if model is None or optimizer is None or not state.is_world_process_zero:
            return
        trainer = _calling_trainer()
        names = _class_names(model)
        train = _rows(getattr(train_dataloader, "dataset", None), processing_class) if names else None
        held_out = None if trainer is None or train is None else trainer.eval_dataset
        self.watch = Watcher(
            model,
            getattr(optimizer, "optimizer", optimizer),  # inside of accelerate's wrapper
            scheduler=getattr(lr_scheduler, "scheduler", lr_scheduler),
            total_steps=state.max_steps,
            train=train,
            validation=_rows(held_out, processing_class),
            class_names=names,
            warmup_steps=args.get_warmup_steps(state.max_steps),
            name=self._name or _name(args),
            folder=self._folder,
            policy=self._policy,
            on=self._on,
            monitors=self._monitors,
            probe_steps=self._probe_steps,
        )
        self.watch.lets_ask("evaluate_now", "save_now")
        if trainer is not None:
            self._follow(trainer, model, self.watch)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """End the training where the policy says so; evaluate and save where a person asks for it."""
        if self.watch is not None:
            control.should_training_stop |= self.watch.should_stop
            control.should_evaluate |= self.watch.asks_for("evaluate_now")
            control.should_save |= self.watch.asks_for("save_now")
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Note an evaluation; of several validation sets, only that which is evaluated as ``eval``, or the first."""
        if self.watch is None or not metrics:
            return
        name = next((name for name in metrics if name.endswith("_loss")), None)
        if name is None:
            return
        prefix = name.removesuffix("loss")
        scores = {
            key.removeprefix(prefix): float(value)
            for key, value in metrics.items()
            if key.startswith(prefix) and isinstance(value, int | float) and not key.endswith(_NO_SCORES)
        }
        split = prefix.strip("_")
        self.watch.evaluated(metrics[name], scores, split="validation" if split == "eval" else split)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """End the record."""
        stopped = self.watch is not None and self.watch.should_stop
        self._end("stopped" if stopped else "completed", "" if stopped else "all steps done")

    def _end(self, status: Status, reason: str) -> None:
        if self.watch is not None:
            self.watch.close(status, reason)
        for let_go in self._let_go:
            let_go()
        self._let_go = []

    def _follow(self, trainer: Trainer, model: nn.Module, watch: Watcher) -> None:
        """Have each loss noted that `trainer` computes outside of the model: label smoothing, DPO, one of your own.

        A loss of the model's own is seen by the watcher already.
        """
        compute_loss, of_model = trainer.compute_loss, list[Any]()

        @functools.wraps(compute_loss)
        def noted(*args: Any, **kwargs: Any) -> Any:
            of_model.clear()
            found = compute_loss(*args, **kwargs)
            loss = found[0] if isinstance(found, tuple) else found
            if isinstance(loss, Tensor) and loss.requires_grad and all(loss is not own for own in of_model):
                watch.loss(loss, divided_by=_parts(trainer, kwargs.get("num_items_in_batch")))
            of_model.clear()
            return found

        own = vars(trainer).get("compute_loss")
        trainer.compute_loss = noted
        hook = model.register_forward_hook(
            lambda _, args, output: of_model.append(getattr(output, "loss", None))
        )
        self._let_go = [
            hook.remove,
            lambda: setattr(trainer, "compute_loss", own) if own else delattr(trainer, "compute_loss"),
        ]


def _parts(trainer: Trainer, num_items_in_batch: object) -> int | None:
    """Return the micro-batches of an update whose losses add up to its mean; None: each loss is a mean of its own."""
    is_part = getattr(trainer, "loss_is_scaled_for_ga", None)  # not in all versions
    if is_part is None:
        is_part = trainer.model_accepts_loss_kwargs and num_items_in_batch is not None
        is_part = is_part or trainer.compute_loss_func is not None
    return trainer.current_gradient_accumulation_steps if is_part else None


def _calling_trainer() -> Trainer | None:
    """Return the Trainer that is calling its callbacks: it hands them everything but itself."""
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Trainer):
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


class _Pairs:
    """Texts and classes of a data set whose rows are tokens; without a tokenizer their numbers are the words."""

    def __init__(self, rows: Any, processing_class: Any) -> None:
        self._rows, self._processing_class = rows, processing_class

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> tuple[str, int]:
        row = self._rows[place]
        tokens = row["input_ids"]
        if hasattr(self._processing_class, "decode"):
            text = self._processing_class.decode(tokens, skip_special_tokens=True)
        else:
            text = " ".join(str(int(token)) for token in tokens)
        return text, int(_label(row))


def _rows(dataset: Any, processing_class: Any) -> _Pairs | None:
    """Return the rows of a classifier's data set for the checks of data; None: they are none, or too many to read."""
    if isinstance(dataset, Mapping) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    if not 0 < len(dataset) <= MOST_ROWS:
        return None
    states = random.getstate(), torch.get_rng_state()
    first = dataset[0]
    random.setstate(states[0])  # a row that is drawn at random must not move the training's random numbers
    torch.set_rng_state(states[1])
    if not isinstance(first, Mapping) or "input_ids" not in first or not _is_class(_label(first)):
        return None
    return _Pairs(dataset, processing_class)


def _label(row: Mapping[str, Any]) -> Any:
    return row["labels"] if "labels" in row else row.get("label")


def _is_class(label: Any) -> bool:
    return (isinstance(label, int) and not isinstance(label, bool)) or (
        isinstance(label, Tensor) and label.dim() == 0 and not label.is_floating_point()
    )


def _name(args: TrainingArguments) -> str:
    return args.run_name or Path(args.output_dir or "trainer").resolve().name


def _class_names(model: nn.Module) -> list[str] | None:
    """Return the names of a classifier's classes, in the order of their numbers; None: it is none."""
    config = getattr(model, "config", None)
    labels = getattr(config, "id2label", None)
    kind = getattr(config, "problem_type", None)
    unwrapped: Any = getattr(model, "get_base_model", lambda: model)  # PEFT wraps it
    if not type(unwrapped()).__name__.endswith("ForSequenceClassification") or not isinstance(labels, dict):
        return None
    if len(labels) < 2 or kind not in {None, "single_label_classification"}:
        return None
    return [str(labels[index]) for index in sorted(labels)]
