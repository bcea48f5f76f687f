"""Monitors that look at the layers: what counts as harm, and what is meant to stand still."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.monitors import Monitor
from tunewell.monitors.parameters_not_updating import ParametersNotUpdating
from tunewell.monitors.vanishing_gradient import VanishingGradient
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


def sampled(
    step: Callable[..., Step], gradients: dict[str, float], updates: dict[str, float] | None, **fields: object
) -> list[Record]:
    return [step(20 * n, layer_gradients=gradients, layer_updates=updates, **fields) for n in range(1, 5)]


def test_a_layer_outside_the_optimizer_is_named_after_three_samples(
    step: Callable[..., Step], found: Found
) -> None:
    records = sampled(step, {"encoder": 1.0, "head": 2.0}, {"encoder": 1e-3})
    first = found(ParametersNotUpdating(), records)[0]
    assert first.step == 60
    assert first.severity == "warning"
    assert first.evidence["layers"] == ["head"]


def test_if_nothing_moves_it_is_critical_but_not_at_a_rate_of_zero(
    step: Callable[..., Step], found: Found
) -> None:
    records = sampled(step, {"encoder": 1.0}, {"encoder": 0.0})
    assert found(ParametersNotUpdating(), records)[0].severity == "critical"
    assert (
        found(ParametersNotUpdating(), sampled(step, {"encoder": 1.0}, {"encoder": 0.0}, learning_rate=0.0))
        == []
    )


def test_a_frozen_layer_is_meant_to_stand_still(step: Callable[..., Step], found: Found) -> None:
    assert found(ParametersNotUpdating(), sampled(step, {"head": 1.0}, {"head": 1e-3})) == []


def test_a_small_gradient_that_still_moves_its_layer_is_no_fault(
    step: Callable[..., Step], found: Found
) -> None:
    gradients = {"layer.0": 1e-7, "layer.1": 1.0, "head": 1.0}
    assert (
        found(VanishingGradient(), sampled(step, gradients, {"layer.0": 9e-4, "layer.1": 1e-3, "head": 2e-3}))
        == []
    )
    still = sampled(step, gradients, {"layer.0": 1e-7, "layer.1": 1e-3, "head": 2e-3})
    first = found(VanishingGradient(), still)[0]
    assert first.evidence["layers"] == ["layer.0"]
    assert first.evidence["onset"] == 20
