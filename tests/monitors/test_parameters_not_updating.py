"""Parameters that the optimizer does not know."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.parameters_not_updating import ParametersNotUpdating
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]

LAYERS = {"body.0": 1.0, "body.1": 1.0, "body.2": 1.0, "head": 1.0}


def run(
    step: Callable[..., Step], look: Look, missing: list[str], *, frozen: list[str] | None = None
) -> list[Record]:
    records: list[Record] = []
    for number in (1, 2, 3, 20):
        moved = {name: 0.0 if any(one.startswith(name) for one in missing) else 1e-3 for name in LAYERS}
        records += [
            step(number, layer_gradients=LAYERS, layer_updates=moved),
            look(number, not_optimized=missing, frozen=frozen or []),
        ]
    return records


def test_a_replaced_head_is_told_at_the_second_look(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    first = found(ParametersNotUpdating(), run(step, look, ["head.weight", "head.bias"]))[0]
    assert (first.step, first.severity) == (2, "warning")
    assert first.evidence["parameters"] == ["head.weight", "head.bias"]
    assert first.evidence["layers"] == ["head"]


def test_new_embeddings_are_told(step: Callable[..., Step], look: Look, found: Found) -> None:
    assert found(ParametersNotUpdating(), run(step, look, ["body.0.weight"]))[0].severity == "warning"


def test_an_optimizer_of_the_upper_layers_alone_may_be_meant(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    lower = ["body.0.weight", "body.1.weight", "body.2.weight"]
    assert {one.severity for one in found(ParametersNotUpdating(), run(step, look, lower))} == {"info"}
    frozen = found(
        ParametersNotUpdating(), run(step, look, lower, frozen=["embeddings"])
    )  # who freezes means the rest
    assert {one.severity for one in frozen} == {"warning"}


def test_a_warm_up_from_nothing_moves_nothing_yet(step: Callable[..., Step], found: Found) -> None:
    still = dict.fromkeys(LAYERS, 0.0)
    records: list[Record] = [
        step(n, learning_rate=1e-9 * n, layer_gradients=LAYERS, layer_updates=still) for n in range(1, 5)
    ]
    assert found(ParametersNotUpdating(), records) == []


def test_a_layer_that_gets_almost_no_gradient_has_another_fault(
    step: Callable[..., Step], found: Found
) -> None:
    gradients = LAYERS | {"body.0": 1e-7}
    moved = dict.fromkeys(LAYERS, 1e-3) | {"body.0": 0.0}
    records: list[Record] = [step(n, layer_gradients=gradients, layer_updates=moved) for n in range(1, 9)]
    assert found(ParametersNotUpdating(), records) == []


def test_a_converged_run_stands_still(step: Callable[..., Step], found: Found) -> None:
    done = dict.fromkeys(LAYERS, 1e-09)
    learning: list[Record] = [
        step(n, layer_gradients=LAYERS, layer_updates=dict.fromkeys(LAYERS, 1e-3)) for n in (1, 2)
    ]
    still: list[Record] = [
        step(n, layer_gradients=done, layer_updates=dict.fromkeys(LAYERS, 0.0)) for n in (3, 4, 5)
    ]
    assert found(ParametersNotUpdating(), [*learning, *still]) == []
