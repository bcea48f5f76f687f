"""What many tests share: a tiny model and tiny data, both real, made here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from benchmarks.reliability import tiny
from benchmarks.reliability.tiny import BAD, GOOD, make_tiny_bert, sentence, tiny_tokenizer

from tunewell.recipe import Recipe
from tunewell.records import Eval, Record, Step
from tunewell.runs import log as logs
from tunewell.runs.timeline import timeline

if TYPE_CHECKING:
    from tunewell.training.loop import Work
    from tunewell.training.state import TrainState

# Tests import these from here.
__all__ = ["BAD", "GOOD", "make_tiny_bert", "measured", "sentence", "tiny_tokenizer"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Keep the cache of encoded rows out of the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TUNEWELL_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _plain_numbers() -> Iterator[None]:
    """A training flushes denormal numbers to zero in this whole process; other tests want them back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def write_reviews(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes `count` labelled sentences to a JSONL file and returns its path."""

    def write(name: str = "train.jsonl", count: int = 160, seed: int = 0) -> Path:
        return tiny.write_reviews(tmp_path / name, count, seed)

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random BERT with 2 layers of 32 numbers, and a tokenizer for the words above."""
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def tiny_recipe(tmp_path: Path, tiny_model: Path) -> Callable[..., Recipe]:
    """Return a function that makes a recipe for the tiny model: fp32, one thread, folder `run`; changes win.

    Keys of the section `data` are given as a dict; without `train` in it 160 reviews are written.
    """

    def make(data: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        return tiny.tiny_recipe(tmp_path, tiny_model, data, **changes)

    return make


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[Recipe], tuple[TrainState, Work]]:
    """Return a function that loads a recipe's model and data and stands before the first update."""

    def ready(recipe: Recipe) -> tuple[TrainState, Work]:
        from tunewell.training import setup

        prepared = setup.prepare_run(recipe, tmp_path)
        return setup.begin(prepared), prepared.work

    return ready


def until(records: Iterator[Record], step: int) -> None:
    """Run up to the record of `step` and drop the run there, as a crash between two records would."""
    for record in records:
        if isinstance(record, Step) and record.step == step:
            records.close()  # type: ignore[attr-defined]
            return
    raise AssertionError(f"the run ended before step {step}")


def measured(log: Path) -> list[Record]:
    """Return the updates and evaluations that a run came to, without their times: equal for equal runs."""
    timeless = {"time": 0.0, "seconds": 0.0}
    found: list[Record] = []
    for record in timeline(logs.read(log)):
        if isinstance(record, Step):
            found.append(msgspec.structs.replace(record, **timeless, data_seconds=0.0))
        elif isinstance(record, Eval):
            found.append(msgspec.structs.replace(record, **timeless))
    return found
