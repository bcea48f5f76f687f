"""Where nobody names a metric, a score that rises beside the validation loss keeps overfitting silent."""

from __future__ import annotations

import pytest

from tunewell.monitors.overfitting import Overfitting
from tunewell.records import Eval, Finding, Started, Step


def evaluations(scores: list[float]) -> list[Finding]:
    """Return what is found where the training loss falls, the validation loss rises, and accuracy is `scores`."""
    monitor = Overfitting()
    started = Started(
        run="r", recipe_hash="", data_hash="", fingerprint={}, total_steps=100, batches_per_epoch=10,
        num_rows={"train": 100}, trainable_parameters=1, total_parameters=1, num_classes=2,
    )  # fmt: skip
    state, found = monitor.init(), []
    state, _ = monitor.update(state, started)
    for place, score in enumerate(scores):
        step = Step(
            step=10 * place + 10, cursor=place, epoch=float(place), stage=0, loss=0.5, learning_rate=1e-3,
            gradient_norm=1.0, rows=30, tokens=0, seconds=0.1,
        )  # fmt: skip
        state, _ = monitor.update(state, step)
        record = Eval(
            step=10 * place + 10, epoch=float(place), split="validation", loss=0.4 + 0.1 * place,
            metrics={"accuracy": score}, rows=1000, seconds=0.1, train_loss=0.4 - 0.05 * place,
        )  # fmt: skip
        state, findings = monitor.update(state, record)
        found += findings
    return found


@pytest.mark.parametrize(("scores", "speaks"), [([0.7, 0.75, 0.8, 0.84, 0.86], False), ([0.8, 0.78, 0.75, 0.72, 0.7], True)])  # fmt: skip
def test_the_first_metric_is_looked_at(scores: list[float], speaks: bool) -> None:
    assert bool(evaluations(scores)) is speaks
