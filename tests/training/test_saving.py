"""A disk that refuses to write ends no run: training waits, tells, and goes on as if nothing had been."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import measured
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Committed, Ended, Note, Record, Step
from tunewell.runs import checkpoints, row_history
from tunewell.runs import log as logs
from tunewell.runs.disk import DiskFullError
from tunewell.training import checkpoint, driver

Make = Callable[..., Recipe]
SMALLER_THAN_A_CHECKPOINT = 20_000


@pytest.fixture
def file_size() -> Iterator[Callable[[int], None]]:
    """Return a function by which the kernel refuses to write beyond so many bytes of a file; -1: no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "RETRY_SECONDS", 0.02)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def kept(run: Path) -> list[int]:
    return [c.step for c in checkpoints.commits(run / "checkpoints")]


def told(record: Record, words: str) -> bool:
    return isinstance(record, Note) and record.topic == "disk" and words in record.text


def undisturbed(tiny_recipe: Make, tmp_path: Path) -> Path:
    list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), save_steps=3)))
    return tmp_path / "whole"


def test_a_full_disk_is_waited_for(
    tiny_recipe: Make, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    whole = tmp_path / "whole"
    list(driver.train(tiny_recipe(output_dir=str(whole), save_steps=4)))
    seen: list[Record] = []
    for record in driver.train(tiny_recipe(save_steps=4)):
        seen.append(record)
        if isinstance(record, Committed) and record.step == 0:
            file_size(SMALLER_THAN_A_CHECKPOINT)
        is_told = any(told(one, "no space") for one in seen)
        if is_told and any(isinstance(one, Step) and one.step == 8 for one in seen):
            file_size(-1)
    [first], [later] = (
        [i for i, record in enumerate(seen) if told(record, words)]
        for words in ("no space", "the checkpoint of step 4 is saved after all")
    )
    step_8 = next(i for i, record in enumerate(seen) if isinstance(record, Step) and record.step == 8)
    assert max(first, step_8) < later, "training goes on while the snapshot waits in memory"
    assert kept(tmp_path / "run") == kept(whole)
    assert measured(tmp_path / "run" / "log.jsonl") == measured(whole / "log.jsonl")
    assert weights(tmp_path / "run") == weights(whole)


def test_a_signal_while_the_disk_is_full_ends_the_run_with_what_is_saved(
    tiny_recipe: Make, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    whole, seen = undisturbed(tiny_recipe, tmp_path), []
    for record in driver.train(tiny_recipe(save_steps=3)):
        seen.append(record)
        if isinstance(record, Committed) and record.step == 3:
            file_size(SMALLER_THAN_A_CHECKPOINT)
        if told(record, "no space"):
            signal.raise_signal(signal.SIGTERM)
    assert isinstance(seen[-1], Ended)
    assert (seen[-1].status, seen[-1].reason) == ("interrupted", "SIGTERM")
    assert kept(tmp_path / "run") == [0, 3]
    file_size(-1)
    list(driver.resume(tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(whole)
    assert measured(tmp_path / "run" / "log.jsonl") == measured(whole / "log.jsonl")


def test_a_log_that_cant_be_written_loses_no_record(
    tiny_recipe: Make, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    log, seen, full, saved = tmp_path / "run" / "log.jsonl", [], False, False
    for record in driver.train(tiny_recipe(save_steps=4)):
        seen.append(record)
        if isinstance(record, Step) and saved and not full:
            file_size(log.stat().st_size)
            full, saved = True, False
        elif isinstance(record, Committed) and record.step == 4:
            saved = True
        elif full and told(record, "can't write the log"):
            file_size(-1)
            full = False
    assert not full, "it was told"
    assert list(logs.read(log)) == seen


def test_a_disk_that_is_full_from_the_start_is_told_at_once(
    tiny_recipe: Make, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    records = driver.train(tiny_recipe())
    next(records)
    file_size(SMALLER_THAN_A_CHECKPOINT)
    with pytest.raises(DiskFullError, match="save checkpoint 0000-step-0: no space left"):
        list(records)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    file_size(-1)
    *_, end = driver.resume(tmp_path / "run")
    assert isinstance(end, Ended)
    assert end.status == "completed"


def test_a_run_whose_folder_is_removed_ends_and_leaves_no_ruin(tiny_recipe: Make, tmp_path: Path) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    records = driver.train(tiny_recipe(save_steps=3))
    next(record for record in records if isinstance(record, Step) and record.step == 5)
    run.rename(away)
    with pytest.raises(RunError, match="was removed or moved"):
        list(records)
    assert not run.exists()
    assert kept(away)[0] == 0


def test_what_a_signal_saved_changes_nothing_of_what_is_kept(tiny_recipe: Make, tmp_path: Path) -> None:
    whole = undisturbed(tiny_recipe, tmp_path)
    for number in (2, 4, 7, 9, 11, 13):
        records = driver.train(tiny_recipe(save_steps=3)) if number == 2 else driver.resume(tmp_path / "run")
        for record in records:
            if isinstance(record, Step) and record.step == number:
                signal.raise_signal(signal.SIGTERM)
        assert kept(tmp_path / "run")[-1] == number
    list(driver.resume(tmp_path / "run"))
    assert kept(tmp_path / "run") == kept(whole)
    assert weights(tmp_path / "run") == weights(whole)


def test_a_signal_between_micro_batches_leaves_no_trace(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunewell.training import loop

    changes = {"batch_size": 4, "gradient_accumulation_steps": 4, "dropout": 0.1, "save_steps": 3}
    list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), **changes)))
    honest, calls = loop.forward_backward, 0

    def interrupted(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4 * 4 + 2:  # the second part of the fifth update
            signal.raise_signal(signal.SIGTERM)
        return honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "forward_backward", interrupted)
    *_, end = driver.train(tiny_recipe(**changes))
    assert isinstance(end, Ended)
    assert (end.status, end.step) == ("interrupted", 4)
    assert calls == 4 * 4 + 2, "the update is given up, not finished"
    *_, end = driver.resume(tmp_path / "run")
    assert measured(tmp_path / "run" / "log.jsonl") == measured(tmp_path / "whole" / "log.jsonl")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_closed_terminal_saves_and_stops_but_not_under_nohup(tiny_recipe: Make, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under `nohup`
    try:
        records = driver.train(tiny_recipe())
        next(record for record in records if isinstance(record, Step))
        signal.raise_signal(signal.SIGHUP)
        *_, interrupted = records
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        records = driver.resume(tmp_path / "run")
        next(record for record in records if isinstance(record, Step))
        signal.raise_signal(signal.SIGHUP)
        *_, end = records
    finally:
        signal.signal(signal.SIGHUP, before)
    assert isinstance(interrupted, Ended)
    assert (interrupted.status, interrupted.reason) == ("interrupted", "SIGHUP")
    assert isinstance(end, Ended)
    assert end.status == "completed"


def test_an_early_signal_ends_the_process_where_it_stands(tiny_recipe: Make, tmp_path: Path) -> None:
    from tunewell.training.interruption import Interruption

    interruption = Interruption()
    before = signal.getsignal(signal.SIGTERM)
    with interruption.watched():
        with pytest.raises(SystemExit) as ending:
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        interruption.has_work = True
        signal.raise_signal(signal.SIGTERM)
        assert interruption.came()
    assert ending.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_epoch_of_row_losses_that_the_disk_refuses_ends_no_run(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, refused = undisturbed(tiny_recipe, tmp_path), []
    honest = row_history.write_durably

    def refusing(path: Path, content: bytes) -> None:
        if path.name == "epoch-0000.bin" and len(refused) < 2:
            refused.append(path)
            raise OSError(errno.EIO, "Input/output error")
        honest(path, content)

    monkeypatch.setattr(row_history, "write_durably", refusing)
    seen = list(driver.train(tiny_recipe(save_steps=3)))
    assert len(refused) == 2
    assert sum(told(record, "can't write per-row losses") for record in seen) == 1
    for name in ("epoch-0000.bin", "epoch-0001.bin"):
        assert (tmp_path / "run" / "rows" / name).read_bytes() == (whole / "rows" / name).read_bytes()
    assert measured(tmp_path / "run" / "log.jsonl") == measured(whole / "log.jsonl")
