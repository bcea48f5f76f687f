"""The first updates at the full rate: harmless mostly, and what they leave behind when not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.no_warmup import NoWarmup
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]

STEPS = 100
LAYERS = ("body.0", "body.1", "head")


def course(
    step: Callable[..., Step],
    look: Look,
    started: Callable[..., Started],
    *,
    loss: Callable[[int], float] = lambda n: 2.3 * 0.99**n,
    rate: Callable[[int], float] = lambda n: 1e-2,
    spread: Callable[[int], float] = lambda n: 0.5,
    reach: Callable[[int], float] = lambda n: 1.0,
    moved: float = 0.1,
    epsilon: float | None = 1e-8,
) -> list[Record]:
    records: list[Record] = [started(total_steps=STEPS, num_classes=10)]
    for number in range(1, STEPS + 1):
        is_sampled = number < 4 or number % 20 == 0
        gradients = {name: reach(number) for name in LAYERS[:-1]} | {"head": 1.0}
        records.append(
            step(
                number,
                loss=loss(number),
                learning_rate=rate(number),
                layer_gradients=gradients if is_sampled else None,
                layer_updates=dict.fromkeys(LAYERS, moved) if is_sampled else None,
            )
        )
        if is_sampled:
            records.append(
                look(
                    number,
                    output_std=spread(number),
                    output_layer="head",
                    epsilon=epsilon if number > 1 else None,
                )
            )
    return records


def falling(number: int) -> float:
    return 0.5 * 0.7**number


def hump(number: int) -> float:
    return 2.3 + (
        4.0 * (1 - abs(number - 6) / 6) if 1 < number < 12 else -0.02 * number if number > 1 else 0.0
    )


def test_a_collapse_after_the_first_updates_is_told(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    first = found(NoWarmup(), course(step, look, started, loss=lambda n: 2.3, spread=falling, reach=falling))[
        0
    ]
    assert first.step == 40
    assert first.evidence["onset"] == 1


def test_a_jump_that_comes_down_at_the_same_rate_is_told(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    assert found(NoWarmup(), course(step, look, started, loss=hump))[0].step < 25


def test_a_loss_that_soon_stalls_behind_a_long_first_step_is_told(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    def stalled(number: int) -> float:
        return max(1.4, 2.3 - 0.1 * number)

    (one,) = found(NoWarmup(), course(step, look, started, loss=stalled))
    assert 48 <= one.step < 60
    assert "falls no more" in one.summary
    assert (
        found(NoWarmup(), course(step, look, started, loss=stalled, rate=lambda n: 1e-3 * min(10, n))) == []
    )


HEALTHY: dict[str, dict[str, Any]] = {
    "no warm-up and no harm": {},
    "a small hump": {"loss": lambda n: 2.3 + 0.1 * (hump(n) - 2.3)},
    "collapse after a warm-up": {
        "rate": lambda n: 1e-2 * min(1.0, n / 20), "spread": falling, "reach": falling,
    },
    "one answer, but gradients reach all layers": {"spread": falling, "loss": lambda n: 2.3, "moved": 0.02},
    "plain gradient descent": {"epsilon": None, "spread": falling, "reach": falling},
    "a rate that is far too high": {"moved": 1.2, "spread": falling, "reach": falling},
    "steps of the usual size": {"moved": 1e-3, "loss": hump},
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_no_missing_warm_up_is_silent(
    name: str, step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    assert found(NoWarmup(), course(step, look, started, **HEALTHY[name])) == []
