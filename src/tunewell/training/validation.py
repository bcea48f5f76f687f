"""Evaluations while a run trains: scores become records, the best model is remembered, a failure ends nothing."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewell.data.prepare import Dataset
from tunewell.monitors import is_falling
from tunewell.problems import RunError
from tunewell.records import Eval, Record
from tunewell.training.evaluate import EvaluationInterruptedError, evaluate
from tunewell.training.evaluate import Outcome as Evaluation

if TYPE_CHECKING:
    from tunewell.training.session import Session

MOST_CONFUSED = 50
"""Classes up to which an evaluation's record says which are taken for which."""


def validate(session: Session) -> Generator[Record, None, bool]:
    """Evaluate on the validation split, before the first update on the test split too; log it all or nothing.

    Returns whether it came to its end: a signal may cut it short, or a person who wants a pause or the end.

    An evaluation that fails, for whatever reason, is told and passed over: hours of training are worth more.
    """
    progress, asked = session.state.progress, session.eval_batch_size
    splits = ["test", "validation"] if progress.step == 0 else ["validation"]
    try:  # all before any is logged: a resume does all again
        done = {
            split: evaluation(session, split, may_be_cut=True)
            for split in splits
            if split in session.prepared.splits
        }
    except EvaluationInterruptedError:
        return False
    except RunError:
        raise
    except Exception as error:  # a metric, a model, a device: none of them may end the training
        yield from failed(session, error)
        done = {}
    session.wishes.evaluate = False
    train_loss = progress.loss_sum / progress.loss_count if progress.loss_count else None
    progress.evaluated_at = progress.step  # before the scores are judged: what follows may be a rollback
    progress.loss_sum = progress.loss_count = 0.0
    if session.eval_batch_size < asked:
        text = f"memory ran out in the evaluation: {session.eval_batch_size} rows at once from now on, not {asked}"
        yield from session.note(text, "evaluation")
    for split, (outcome, seconds) in done.items():
        yield from _score(session, split, outcome, seconds, train_loss)
    return True


def evaluation(session: Session, split: str, *, may_be_cut: bool = False) -> tuple[Evaluation, float]:
    """Return how the weights, averaged where the recipe asks for it, do on `split`, and the seconds it took.

    `may_be_cut`: by people too; a signal may in any case.
    """
    began = time.perf_counter()
    with session.state.weights.showing(session.state.average):
        outcome = evaluate(
            session.work.task,
            session.state.model,
            session.prepared.splits[split],
            session.eval_batch_size,
            session.work.compute.device,
            lambda: session.poll("evaluation") or (may_be_cut and session.hearing.cuts()),
        )
    session.eval_batch_size = outcome.batch_size
    return outcome, time.perf_counter() - began


def failed(session: Session, error: Exception) -> Iterator[Record]:
    """Tell that an evaluation failed; where it did so is kept in a file of the run's folder."""
    step = session.state.progress.step
    kept = session.folder.path / f"evaluation-failed-step-{step}.txt"
    with contextlib.suppress(OSError):
        kept.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    reason = "".join(traceback.format_exception_only(error)).strip().partition("\n")[0]
    text = f"the evaluation at step {step} failed and training goes on: {reason} (details: {kept.name})"
    yield from session.note(text, "evaluation")


def _score(
    session: Session, split: str, outcome: Evaluation, seconds: float, train_loss: float | None
) -> Iterator[Record]:
    progress = session.state.progress
    value = outcome.loss if session.best_metric == "loss" else outcome.metrics[session.best_metric]
    best = split == "validation" and _is_better(session, value)
    if best:
        progress.best_value, progress.best_step, progress.best_commit = value, progress.step, None
    yield from session.record(
        Eval(
            time=time.time(),
            step=progress.step,
            epoch=round(session.work.order.epoch_at(session.state.adjustments.cursor), 6),
            split=split,
            loss=outcome.loss,
            metrics=outcome.metrics,
            rows=len(session.prepared.splits[split]),
            seconds=seconds,
            train_loss=train_loss,
            best=best,
            in_training=outcome.in_training,
            **by_class(outcome, session.prepared.dataset),
        )
    )


def by_class(outcome: Evaluation, dataset: Dataset) -> dict[str, Any]:
    """Return the fields of `Eval` that tell the classes apart; none for other than single-label tasks."""
    if dataset.problem != "single_label" or outcome.predicted is None:
        return {}
    found = {
        "recalls": {name: scores["recall"] for name, scores in outcome.by_class.items()},
        "class_rows": {name: int(scores["rows"]) for name, scores in outcome.by_class.items()},
    }
    classes = len(dataset.labels)
    if classes > MOST_CONFUSED:
        return found
    pairs = np.bincount(outcome.targets * classes + outcome.predicted, minlength=classes**2)
    return {**found, "confusion": pairs.reshape(classes, classes).tolist()}


def _is_better(session: Session, value: float) -> bool:
    best = session.state.progress.best_value
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value < best if is_falling(session.best_metric) else value > best
