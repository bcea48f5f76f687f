"""Tunewell fine-tunes a pre-trained model on labelled data, watched, explained and repaired while it trains."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch loads OpenMP: a thread that waits should spin for some microseconds, then sleep. By default it spins
# for long, and when any other program wants a core each parallel product waits for a thread that is not running:
# measured 20 times slower on 2 cores. Sleeping at once costs a quarter of the speed of small steps.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tunewell.inspections import Tested
    from tunewell.integrations.watcher import Watcher
    from tunewell.recipe import Recipe
    from tunewell.records import Ended
    from tunewell.runs.opened import Run
    from tunewell.tasks._text_predictor import TextPredictor

__version__ = "0.1.0"
__all__ = ["load", "open_run", "self_test", "train", "watch"]


def train(recipe: Recipe | str | Path) -> Ended:
    """Train a recipe (or the recipe in a file) to its end and return the run's last record.

    Raises an `InputError` of `tunewell.problems` when recipe, data or model can't be used. To see the run while
    it trains, iterate over `tunewell.training.driver.train` instead.
    """
    from tunewell.document import load_recipe
    from tunewell.records import Ended
    from tunewell.training import driver

    if isinstance(recipe, str | Path):
        path = Path(recipe)
        records = driver.train(load_recipe(path), path.parent, stem=path.stem)
    else:
        records = driver.train(recipe)
    last = collections.deque(records, maxlen=1).pop()
    assert isinstance(last, Ended), "a run ends with its Ended record"
    return last


def load(run_or_model: str | Path) -> TextPredictor:
    """Return a predictor for a run (by name or folder) or a model folder.

    ``load("runs/demo").predict(["A film to remember."])`` gives labels with probabilities.
    """
    from tunewell.tasks._load import load_predictor

    return load_predictor(run_or_model)


def open_run(run: str | Path, root: str | Path = "runs") -> Run:
    """Return a run, by its folder, its name in `root` or the beginning of one: its record, its story, its curves.

    ``tunewell.open_run("demo").to_pandas()`` gives its steps as a frame; in a notebook the run shows itself. It may
    still train. Raises an `InputError` of `tunewell.problems` where there is none. `load` gives the model instead.
    """
    from tunewell.runs.folder import find
    from tunewell.runs.opened import Run

    return Run(find(str(run), root))


def self_test(
    model: nn.Module,
    loss_of: Callable[[Any, Any], Any],
    batch: Any,
    optimizer: Optimizer | None = None,
    *,
    classes: int | None = None,
    accumulation_steps: int = 1,
    seconds: float = 10.0,
) -> list[Tested]:
    """Try any PyTorch model out on one training batch before it is trained; nothing of it changes.

    `loss_of(model, batch)` computes the mean loss of a batch as the training does. Each answer has `name`, `passed`
    (None: it could not be made, `detail` says why), `detail` and `numbers`; see
    `tunewell.integrations.self_test.self_test` for what is tried.
    """
    from tunewell.integrations import self_test as own

    return own.self_test(
        model,
        loss_of,
        batch,
        optimizer,
        classes=classes,
        accumulation_steps=accumulation_steps,
        seconds=seconds,
    )


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    scheduler: LRScheduler | None = None,
    total_steps: int | None = None,
    train: Any = None,
    validation: Any = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    warmup_steps: int | None = None,
    name: str | None = None,
    folder: str | Path | None = "runs",
    policy: str = "observe",
    on: Mapping[str, str] | None = None,
    monitors: Mapping[str, Literal[False] | dict[str, Any]] | None = None,
    probe_steps: int = 20,
    budget: int | None = None,
) -> Watcher:
    """Watch a training in plain PyTorch: its faults are named while it trains, with cause and advice.

    ``watch = tunewell.watch(model, optimizer)`` before the loop, ``watch.loss(loss)`` before each backward pass and
    ``watch.close()`` at the end are all that it takes; `watch.why` tells what was seen, and so does `tunewell why` of
    the folder that is written (`folder`; None: nothing is written).

    `total_steps` is how many updates there will be, `scheduler` what moves the learning rate, `warmup_steps` over how
    many it should rise. `train` and `validation` are pairs of inputs and targets (arrays, tensors or lists, rows first) or
    data sets of pairs: with them the data are checked too, and rows are named that are probably labelled wrongly.
    `policy`, `on`, `monitors`, `probe_steps` and `budget` are as in a recipe (`policy_budget`); under ``observe`` nothing
    of the training is changed, not a bit. Raises an `InputError` of `tunewell.problems` for what can't be watched.
    """
    from tunewell.integrations.watcher import Watcher

    return Watcher(
        model,
        optimizer,
        scheduler=scheduler,
        total_steps=total_steps,
        train=train,
        validation=validation,
        num_classes=num_classes,
        class_names=class_names,
        warmup_steps=warmup_steps,
        name=name,
        folder=folder,
        policy=policy,
        on=on,
        monitors=monitors,
        probe_steps=probe_steps,
        budget=budget,
    )
