"""A few thousand updates: memory, file descriptors and threads stay what they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.reliability.soak import DESCRIPTORS, Sample, line

STEPS, EVERY = 2_000, 50
ALLOWED_KIB = 512
"""For a thousand updates; 50,000 of them show (docs/reliability.md) that it is far less."""


def samples_of(*resident_kib: int) -> list[Sample]:
    return [Sample(1_000 * number, 0.0, kib, 20, 8) for number, kib in enumerate(resident_kib, start=1)]


def test_a_line_tells_growth_from_noise() -> None:
    assert line(samples_of(*range(100, 200, 10))).per_thousand_steps == pytest.approx(10)
    assert not line(samples_of(*range(100, 200, 10))).is_flat
    assert line(samples_of(*[100, 104, 98, 103] * 5)).is_flat


@pytest.mark.slow
@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs Linux's /proc")
def test_nothing_grows(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.reliability.soak", "--steps", str(STEPS), "--every", str(EVERY)]
    subprocess.run([sys.executable, *command, "--out", str(tmp_path / "samples.json")], check=True)
    samples = [Sample(**each) for each in json.loads((tmp_path / "samples.json").read_text())]
    assert len(samples) == STEPS // EVERY
    assert line(samples).per_thousand_steps < ALLOWED_KIB
    settled = samples[len(samples) // 5 :]
    assert max(each.descriptors for each in settled) - min(each.descriptors for each in settled) <= 2
    assert max(each.threads for each in settled) - min(each.threads for each in settled) <= 1
