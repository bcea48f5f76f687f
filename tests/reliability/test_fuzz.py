"""A minute of the fuzzer whose hour is told in the docs: no reader answers with anything but a result or an `InputError`."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.reliability import fuzz


@pytest.mark.slow
def test_a_minute_of_every_input(tmp_path: Path) -> None:
    outcome = fuzz.fuzz(tmp_path, seconds=60, seed=0)
    assert not outcome.failures, "\n".join(f"{key}\n{told}" for key, told in outcome.failures.items())
    assert len(outcome.cases) == 15
    assert min(outcome.cases.values()) >= 20


def test_a_failure_is_kept_with_its_place(tmp_path: Path) -> None:
    from hypothesis import strategies as st

    def feed(number: int) -> None:
        assert number < 10

    outcome = fuzz.Outcome()
    fuzz.feed_round(fuzz.Surface("numbers", st.integers(), feed), 1, outcome)
    ((key, told),) = outcome.failures.items()
    assert key.startswith("numbers: AssertionError at ")
    assert "value=10" in told  # the smallest that fails


def test_a_case_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis import strategies as st

    def feed(number: int) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "CASE_SECONDS", 0.05)
    outcome = fuzz.Outcome()
    fuzz.feed_round(fuzz.Surface("numbers", st.just(1), feed), 1, outcome)
    assert "TooSlowError" in next(iter(outcome.failures))
