"""Real runs of real tools, a second or two each, that leave the log which those tools leave."""

from __future__ import annotations

import csv
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.other_logs.faults import Fault, middle
from benchmarks.reliability.tiny import make_tiny_bert, sentence, tiny_tokenizer

Split = tuple[torch.Tensor, torch.Tensor]


def digits(fault: Fault, seed: int) -> tuple[Split, Split]:
    """Return training and validation rows of scikit-learn's digits: (rows, 64) inputs and (rows,) targets."""
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator)
    x, y = torch.tensor(inputs, dtype=torch.float32)[order] / 16, torch.tensor(targets)[order]
    train, validation = (x[400:], y[400:].clone()), (x[:400], y[:400])
    if fault.rows:
        train = (train[0][: fault.rows], train[1][: fault.rows])
    wrong = torch.rand(len(train[1]), generator=generator) < fault.noise
    train[1][wrong] = torch.randint(0, 10, (int(wrong.sum()),), generator=generator)
    return train, validation


def batches(rows: int, size: int, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from (part for part in order.split(min(size, rows)) if len(part) == min(size, rows))


def plain(
    fault: Fault,
    seed: int,
    model: nn.Module,
    log: Callable[[int, dict[str, float]], None],
    *,
    steps: int = 300,
    rate: float = 2e-3,
    batch: int = 32,
    evaluate_every: int = 30,
) -> None:
    """Train in plain PyTorch; `log` gets each update's numbers, and those of an evaluation in the same call."""
    train, validation = digits(fault, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: fault.rate_at(step, steps))
    batch = batch // 8 if fault.small_batches else batch
    order = batches(len(train[0]), batch, seed)
    for step in range(steps):
        rows = next(order)
        model.train()
        targets = (train[1][rows] + 5) % 10 if fault.spike != 1 and step == middle(steps) else train[1][rows]
        loss = fault.loss_at(F.cross_entropy(model(train[0][rows]), targets), step, steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        rate_now = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        numbers = {
            "loss": loss.item(),
            "grad_norm": norm.item(),
            "lr": rate_now,
            "epoch": step * batch / len(train[0]),
        }
        if (step + 1) % evaluate_every == 0:
            model.eval()
            with torch.no_grad():
                outputs = model(validation[0])
            numbers["val_loss"] = F.cross_entropy(outputs, validation[1]).item()
            numbers["val_accuracy"] = (outputs.argmax(1) == validation[1]).float().mean().item()
        log(step + 1, numbers)


def _mlp(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _cnn(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def tensorboard_each_step(fault: Fault, seed: int, folder: Path) -> Path:
    """A CNN whose script hands every update to TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def log(step: int, numbers: dict[str, float]) -> None:
            names = {
                "loss": "Loss/train",
                "val_loss": "Loss/validation",
                "val_accuracy": "Accuracy/validation",
            }
            for name, value in numbers.items():
                if name != "epoch":
                    writer.add_scalar(names.get(name, name), value, step)

        plain(fault, seed, _cnn(seed), log, rate=5e-3)
    return folder


def json_lines_every_ten(fault: Fault, seed: int, folder: Path) -> Path:
    """A script that logs every tenth update, as W&B's history exports it: NaN as a text, nulls where nothing is."""
    file = folder / "history.jsonl"
    with file.open("w", encoding="utf-8") as lines:

        def log(step: int, numbers: dict[str, float]) -> None:
            if step % 10 == 0:
                row = {
                    "_step": step // 10, "train/loss": numbers["loss"], "train/global_step": step,
                    "train/learning_rate": numbers["lr"], "eval/loss": numbers.get("val_loss"),
                    "eval/accuracy": numbers.get("val_accuracy"), "_timestamp": 1.7e9 + step,
                }  # fmt: skip
                spelled = {
                    name: "NaN" if isinstance(value, float) and math.isnan(value) else value
                    for name, value in row.items()
                }
                lines.write(json.dumps(spelled) + "\n")

        plain(fault, seed, _mlp(seed), log, steps=600)
    return file


def table_of_epochs(fault: Fault, seed: int, folder: Path) -> Path:
    """A table with an entry an epoch, as Keras' CSVLogger writes it: mean training loss beside the validation loss."""
    file = folder / "training.csv"
    losses: list[float] = []
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"])

        def log(step: int, numbers: dict[str, float]) -> None:
            losses.append(numbers["loss"])
            if "val_loss" in numbers:
                mean = sum(losses) / len(losses)
                row = [numbers["lr"], mean, numbers["val_accuracy"], numbers["val_loss"]]
                writer.writerow([step // 30 - 1, 0.5, *row])
                losses.clear()

        plain(fault, seed, _mlp(seed), log, steps=900)
    return file


def lightning_table(fault: Fault, seed: int, folder: Path) -> Path:
    """Lightning with its CSVLogger, which writes every tenth update and each epoch's validation."""
    import lightning

    train, validation = digits(fault, seed)
    epochs = 12 if fault.rows is None else 400
    batch = 4 if fault.small_batches else 32
    epochs = epochs // 4 if fault.small_batches else epochs
    total = epochs * math.ceil(len(train[0]) / batch)

    class Digits(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = _mlp(seed)

        def training_step(self, batch: Split, index: int) -> torch.Tensor:
            step = self.global_step
            loss = fault.loss_at(F.cross_entropy(self.model(batch[0]), batch[1]), step, total)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Split, index: int) -> None:
            outputs = self.model(batch[0])
            self.log("val_loss", F.cross_entropy(outputs, batch[1]))
            self.log("val_acc", (outputs.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=2e-3)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: fault.rate_at(step, total))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    loader = torch.utils.data.DataLoader
    sets = [torch.utils.data.TensorDataset(*part) for part in (train, validation)]
    lightning.seed_everything(seed, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", log_every_n_steps=10, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, check_val_every_n_epoch=1 if fault.rows is None else 10,
            logger=lightning.pytorch.loggers.CSVLogger(str(folder), name=""), num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(Digits(), loader(sets[0], batch, shuffle=True), loader(sets[1], 400))
    return folder


def transformers_trainer(fault: Fault, seed: int, folder: Path) -> Path:
    """transformers' Trainer on a tiny BERT; its state is logged every five updates, losses filtered as by default."""
    import transformers

    transformers.logging.set_verbosity_error()
    steps = 300
    rng = random.Random(seed)
    tokenizer = tiny_tokenizer()

    def rows(count: int, noise: float) -> list[dict[str, Any]]:
        texts = [(sentence(rng, index % 2 == 0), index % 2) for index in range(count)]
        return [
            {**tokenizer(text, max_length=24, padding="max_length", truncation=True),
             "labels": rng.randrange(2) if rng.random() < noise else label}
            for text, label in texts
        ]  # fmt: skip

    class Trainer(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().compute_loss(model, inputs, *args, **kwargs)
            step = self.state.global_step
            return fault.loss_at(found, step, steps) if model.training else found

    make_tiny_bert(folder / "model")
    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "model", num_labels=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: fault.rate_at(step, steps))
    arguments = transformers.TrainingArguments(
        str(folder / "out"), max_steps=steps, per_device_train_batch_size=2 if fault.small_batches else 16, logging_steps=5, eval_strategy="steps",
        eval_steps=30, save_steps=steps, report_to="none", disable_tqdm=True, use_cpu=True, seed=seed,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=rows(fault.rows or 600, 0.05 + fault.noise), eval_dataset=rows(200, 0.05),
        optimizers=(optimizer, schedule),
        compute_metrics=lambda given: {"accuracy": float((given[0].argmax(-1) == given[1]).mean())},
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    return folder / "out"


TOOLS: dict[str, Callable[[Fault, int, Path], Path]] = {
    "transformers": transformers_trainer,
    "Lightning": lightning_table,
    "TensorBoard": tensorboard_each_step,
    "JSON lines": json_lines_every_ten,
    "epochs": table_of_epochs,
}
