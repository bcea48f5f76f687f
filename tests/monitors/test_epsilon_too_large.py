"""ε beside √v: usual, tuned with the rate, and too large."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.epsilon_too_large import EpsilonTooLarge
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def course(
    step: Callable[..., Step],
    look: Look,
    *,
    epsilon: float,
    share: float,
    ratio: float,
    loss: Callable[[int], float],
) -> list[Record]:
    records: list[Record] = []
    for number in range(1, 81):
        is_sampled = number < 4 or number % 20 == 0
        records.append(step(number, loss=loss(number), layer_updates={"body": ratio} if is_sampled else None))
        if is_sampled and number > 1:
            records.append(look(number, epsilon=epsilon, epsilon_share=share))
    return records


def test_steps_that_shrink_are_told(step: Callable[..., Step], look: Look, found: Found) -> None:
    records = course(step, look, epsilon=1e-2, share=0.95, ratio=1e-5, loss=lambda n: 2.3)
    assert found(EpsilonTooLarge(), records)[0].step == 3


def test_a_slow_loss_is_harm_too(step: Callable[..., Step], look: Look, found: Found) -> None:
    records = course(step, look, epsilon=1e-2, share=0.95, ratio=2e-3, loss=lambda n: 2.3 - 0.003 * n)
    assert found(EpsilonTooLarge(), records)[0].step == 60


def test_a_large_one_that_was_tuned_with_the_rate_learns(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    records = course(step, look, epsilon=1e-2, share=0.95, ratio=2e-3, loss=lambda n: 2.3 * 0.97**n)
    assert found(EpsilonTooLarge(), records) == []


def test_the_usual_one_is_never_meant(step: Callable[..., Step], look: Look, found: Found) -> None:
    tiny_gradients = course(step, look, epsilon=1e-8, share=0.9, ratio=1e-6, loss=lambda n: 2.3)
    assert found(EpsilonTooLarge(), tiny_gradients) == []
