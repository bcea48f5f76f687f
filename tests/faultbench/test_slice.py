"""A slice of FaultBench on a tuning base, so that a rule can't get worse unseen; the whole is run by hand."""

from __future__ import annotations

import pytest
from benchmarks.faultbench import scoring
from benchmarks.faultbench.one_run import carry_out
from benchmarks.faultbench.outcome import Job

pytestmark = pytest.mark.slow

NAMED = (
    "no_zero_grad",
    "head_frozen",
    "double_softmax",
    "leakage",
    "sorted_data",
    "infinite_gradient",
    "large_head",
)
HEALTHY = ("warm_restarts", "label_smoothing", "sparse_relu")


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_that_was_named_is_named(fault: str) -> None:
    outcome = carry_out(Job(base="mlp", kind="fault", name=fault, seed=0, arm="observe"))
    assert not outcome.error
    naming = scoring.named(outcome)
    assert naming.exact, naming.instead


@pytest.mark.parametrize("variant", HEALTHY)
def test_a_healthy_run_is_left_alone(variant: str) -> None:
    outcome = carry_out(Job(base="mlp", kind="healthy", name=variant, seed=0, arm="observe"))
    assert not outcome.error
    assert outcome.told == []


def test_the_autopilot_mends_what_it_names() -> None:
    sick = carry_out(Job(base="mlp", kind="fault", name="sorted_data", seed=0, arm="observe"))
    mended = carry_out(Job(base="mlp", kind="fault", name="sorted_data", seed=0, arm="autopilot"))
    assert mended.final > sick.final + 0.2
