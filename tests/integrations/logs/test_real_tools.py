"""Logs written by the real tools during real runs: sound ones stay silent, sick ones are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmarks.other_logs.faults import FAULTS, Fault
from benchmarks.other_logs.runs import TOOLS

from tunewell.integrations.logs import diagnosed, read
from tunewell.records import Finding

BY_NAME = {fault.name: fault for fault in FAULTS}
RUNS = [
    ("sound", "transformers"),
    ("sound", "Lightning"),
    ("sound, warm restarts", "TensorBoard"),
    ("NaN", "transformers"),
    ("NaN", "Lightning"),
    ("rate jumps", "transformers"),
    ("spike", "Lightning"),
    ("rate too low", "TensorBoard"),
    ("learned by heart", "JSON lines"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "tool"), RUNS)
def test_a_real_log(tmp_path: Path, fault: str, tool: str) -> None:
    torch.set_num_threads(1)
    run: Callable[[Fault, int, Path], Path] = TOOLS[tool]
    records = diagnosed(read(run(BY_NAME[fault], 7, tmp_path)), {}, 0 if tool == "transformers" else 10)
    codes = {
        r.code for r in records if isinstance(r, Finding) and (r.severity != "info" or r.code == "loss_spike")
    }
    assert bool(codes.intersection(BY_NAME[fault].codes)) if BY_NAME[fault].codes else codes == set()
