"""Gradients that were there before the first backward pass."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.gradients_not_cleared import GradientsNotCleared
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def test_what_was_not_cleared_is_told_at_the_first_look(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    records: list[Record] = [step(1), look(1, stale_gradient=0.0), step(2), look(2, stale_gradient=1.4)]
    first = found(GradientsNotCleared(), records)[0]
    assert first.step == 2
    assert first.evidence["onset"] == 1


def test_clear_gradients_are_fine(step: Callable[..., Step], look: Look, found: Found) -> None:
    records = [record for n in range(1, 6) for record in (step(n), look(n, stale_gradient=0.0))]
    assert found(GradientsNotCleared(), records) == []


def test_what_the_optimizer_does_not_know_it_can_not_clear(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    records: list[Record] = [step(2), look(2, stale_gradient=1.4, not_optimized=["head.weight"])]
    assert found(GradientsNotCleared(), records) == []


def test_a_gradient_that_is_not_finite_is_another_fault(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    records: list[Record] = [step(2, gradient_norm=float("nan")), look(2, stale_gradient=float("nan"))]
    assert found(GradientsNotCleared(), records) == []
