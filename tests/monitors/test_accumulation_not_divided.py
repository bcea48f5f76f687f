"""What several backward passes differentiate, beside the mean loss."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected, Tested
from tunewell.monitors import Monitor
from tunewell.monitors.accumulation_not_divided import AccumulationNotDivided
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def looks(look: Look, ratios: list[float], passes: int) -> list[Record]:
    return [
        look(step, backward_passes=passes, objective=0.7 * ratio, mean_loss=0.7)
        for step, ratio in enumerate(ratios, 1)
    ]


def test_as_many_times_the_mean_as_passes_is_told_at_the_second_look(look: Look, found: Found) -> None:
    first = found(AccumulationNotDivided(), looks(look, [8.0, 7.9, 8.1], 8))[0]
    assert (first.step, first.evidence["divisor"]) == (2, 8)


def test_a_divided_loss_is_fine(look: Look, found: Found) -> None:
    assert found(AccumulationNotDivided(), looks(look, [1.0] * 10, 8)) == []
    assert found(AccumulationNotDivided(), looks(look, [4.0] * 10, 1)) == []


def test_weights_and_further_terms_are_no_number_of_passes(look: Look, found: Found) -> None:
    smoothed = [
        1.0,
        1.02,
        1.1,
        1.4,
        1.9,
        2.6,
        3.3,
    ]  # the plain loss falls, and the smoothed one does not follow
    assert found(AccumulationNotDivided(), looks(look, smoothed, 8)) == []


def test_means_of_unequal_parts_are_an_info(look: Look, found: Found) -> None:
    ratios = [0.93, 1.05, 1.08, 0.96, 1.04, 0.91, 1.03]
    findings = found(AccumulationNotDivided(), looks(look, ratios, 4))
    assert {one.severity for one in findings} == {"info"}


def test_a_failed_self_test_is_told(found: Found) -> None:
    detail = "Gathered in 2 parts, a gradient has 2 times the norm of the whole batch's."
    finding = found(AccumulationNotDivided(), [Tested(name="accumulation", passed=False, detail=detail)])[0]
    assert detail in finding.summary
