"""Steps that overwrite a model: blown up, or moved by its own size for nothing. Real traces are in `conformance`."""

from __future__ import annotations

import random
from collections.abc import Callable

from tunewell.monitors import Monitor
from tunewell.monitors.learning_rate_too_high import LearningRateTooHigh
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


def course(
    step: Callable[..., Step],
    started: Callable[..., Started],
    loss: Callable[[int], float],
    moved: Callable[[int], float],
    updates: int = 60,
) -> list[Record]:
    noise = random.Random(0)
    records: list[Record] = [started(total_steps=300, num_classes=6)]
    for number in range(1, updates + 1):
        is_sampled = number < 4 or number % 10 == 1
        ratios = dict.fromkeys(("body.0", "body.1", "head"), moved(number)) if is_sampled else None
        records.append(step(number, loss=loss(number) + noise.gauss(0, 0.02), layer_updates=ratios))
    return records


def hump(number: int) -> float:
    return 1.8 if number < 3 else 2.6 if number < 12 else 1.75


def test_layers_that_went_as_far_as_their_size_for_nothing_are_told(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    one = found(LearningRateTooHigh(), course(step, started, hump, lambda n: 0.2 if n < 20 else 0.02))[0]
    assert one.step <= 30
    assert "times their size" in one.summary


def test_the_same_losses_with_usual_steps_are_not(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    assert found(LearningRateTooHigh(), course(step, started, hump, lambda n: 2e-3)) == []


def test_long_steps_that_learn_are_not(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    learning = course(step, started, lambda n: 1.8 * 0.97**n, lambda n: 0.2 if n < 20 else 0.02)
    assert found(LearningRateTooHigh(), learning) == []


def test_losses_that_grow_out_of_their_numbers_are_told_before_they_are_none(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    def blown(number: int) -> float:
        return 1.8 if number < 8 else 1.8 * 10.0 ** (number - 7)

    one = found(LearningRateTooHigh(), course(step, started, blown, lambda n: 0.02, updates=10))[0]
    assert one.step == 9
    assert "losses came to" in one.summary


def test_one_dear_batch_is_no_blow_up(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    dear = course(step, started, lambda n: 90.0 if n == 20 else 1.8 * 0.97**n, lambda n: 0.02)
    assert found(LearningRateTooHigh(), dear) == []


def test_a_loss_that_was_zero_has_not_blown_up(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    records = [started(num_classes=0, class_counts={})]
    records += [step(n, loss=0.0 if n < 6 else 0.3, layer_updates={"a": 0.4, "b": 0.4}) for n in range(1, 12)]
    assert found(LearningRateTooHigh(), records) == []
