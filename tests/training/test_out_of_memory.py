"""Memory that the system really refuses: an evaluation and a training go on with less at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.reliability import out_of_memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny model and texts of 510 tokens."""
    prepared = tmp_path_factory.mktemp("out_of_memory")
    out_of_memory.prepare(prepared)
    return prepared


def test_an_evaluation_halves_its_batches_and_comes_to_the_same(folder: Path) -> None:
    limited, free = out_of_memory.limited_and_free("evaluation", folder, 30)
    assert limited["batch_size"] < free["batch_size"] == out_of_memory.BATCH_SIZE
    assert out_of_memory.difference(limited, free) < 1e-5


def test_a_training_splits_its_batches_and_comes_to_the_same(folder: Path) -> None:
    limited, free = out_of_memory.limited_and_free("training", folder, 200)
    assert (limited["status"], free["status"]) == ("completed", "completed")
    assert limited["split"] >= 1
    assert free["split"] == 0
    assert out_of_memory.difference(limited, free) < 1e-4
