"""A self-test that failed, with and without a better name for it."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected, Tested
from tunewell.monitors import Monitor, Watch
from tunewell.monitors.cannot_fit_a_batch import CannotFitABatch
from tunewell.monitors.double_softmax import DoubleSoftmax
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


def fits(passed: bool | None) -> Tested:
    return Tested(
        name="fits_one_batch", passed=passed, detail="Loss 0.69 → 0.66 after 60 updates, and stands there."
    )


def test_it_waits_until_a_cause_could_be_named(step: Callable[..., Step], found: Found) -> None:
    other = Tested(name="gradients_reach", passed=False, detail="Gradients reach 2 of 4 parameters.")
    first = found(CannotFitABatch(), [other, fits(False), step(1), step(2), step(3)])
    assert [one.step for one in first] == [2]
    assert first[0].causes[0].startswith("gradients_reach")


def test_what_fits_is_fine_and_what_was_not_made_is_not_known(
    step: Callable[..., Step], found: Found
) -> None:
    for passed, kind in ((True, "fine"), (None, "blind")):
        assert found(CannotFitABatch(), [fits(passed), step(1), step(2)]) == []
        monitor = CannotFitABatch()
        assert monitor.verdict(monitor.update(monitor.init(), fits(passed))[0]).kind == kind


def test_a_named_cause_takes_it_into_its_story(step: Callable[..., Step]) -> None:
    watch = Watch({"double_softmax": DoubleSoftmax(), "cannot_fit_a_batch": CannotFitABatch()})
    records: list[Record] = [
        fits(False),
        step(1),
        Inspected(step=1, outputs_are_probabilities=True),
        step(2),
    ]
    told = [finding.code for record in records for finding in watch.observe(record)]
    assert told == ["double_softmax"]
