from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked, Inspected
from tunewell.monitors.inputs_not_normalized import InputsNotNormalized


def scaled(mean: float, std: float) -> DataChecked:
    return DataChecked(checks={"input_scale": DataCheck(of=500, numbers={"mean": mean, "std": std})})


BYTES = scaled(80.0, 90.0)


def test_bytes_that_make_sure_and_wrong_answers(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    (one,) = found(InputsNotNormalized(), [started(), BYTES, step(1, loss=25.0), step(2, loss=20.0)])
    assert one.step == 1
    assert "the first loss is 25, where guessing costs 0.693" in one.summary
    assert one.advice[0].startswith("subtract 80 and divide by 90")


def test_the_first_look_shows_the_scale_too(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    look = Inspected(step=1, input_mean=127.0, input_std=70.0)
    (one,) = found(InputsNotNormalized(), [started(), step(1, loss=math.inf), look])
    assert one.step == 1


def test_batch_normalisation_hides_it_only_in_training(
    started: Callable[..., Any],
    evaluation: Callable[..., Any],
    step: Callable[..., Any],
    found: Callable[..., list],
) -> None:
    (one,) = found(InputsNotNormalized(), [started(), BYTES, evaluation(0, loss=30.0), step(1, loss=0.7)])
    assert one.step == 1
    assert "before the first update validation rows cost 30" in one.summary
    assert found(InputsNotNormalized(), [started(), scaled(0.0, 1.0), evaluation(0, loss=30.0)]) == []


def test_numbers_as_targets_show_it_in_the_gradient(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    start = started(num_classes=0, class_counts={})
    assert len(found(InputsNotNormalized(), [start, BYTES, step(1, loss=900.0, gradient_norm=5e3)])) == 1
    assert found(InputsNotNormalized(), [start, BYTES, step(1, loss=1.1, gradient_norm=2.0)]) == []


@pytest.mark.parametrize("scale", [(0.3, 0.35), (0.0, 1.0), (0.001, 0.02), (5.0, 6.0)])
def test_usual_scales_are_silent_whatever_the_loss(
    scale: tuple[float, float],
    started: Callable[..., Any],
    step: Callable[..., Any],
    found: Callable[..., list],
) -> None:
    assert found(InputsNotNormalized(), [started(), scaled(*scale), step(1, loss=30.0)]) == []


def test_a_model_that_takes_it_is_silent(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    learning = [step(n, loss=0.7 * 0.99**n) for n in range(1, 200)]
    assert found(InputsNotNormalized(), [started(), BYTES, *learning]) == []


def test_a_model_that_never_learns_from_it_is_not(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    stuck = [step(n, loss=0.7) for n in range(1, 150)]
    (one,) = found(InputsNotNormalized(), [started(), BYTES, *stuck])
    assert one.step == 101
