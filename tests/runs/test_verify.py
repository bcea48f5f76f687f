"""Verifying a run: what is damaged is named, what is not is not, and nothing is changed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tunewell.document import dump_recipe
from tunewell.recipe import Recipe
from tunewell.records import Committed, Ended, Note, Rewound, Started
from tunewell.runs import checkpoints, summary, sums
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.runs.row_history import RowHistory
from tunewell.runs.verify import Part, outlook, verify

RECIPE = Recipe.model_validate({"model": "m", "data": {"train": "a.jsonl"}})
FINGERPRINT = {"torch": "2.11.0", "threads": "2"}


def make_run(root: Path, *, finished: bool = True) -> RunFolder:
    """Write the folder of a run as training does, with weights of a few bytes."""
    run = RunFolder.create(root / "demo", dump_recipe(RECIPE), FINGERPRINT)
    run.ledger.write_text(json.dumps({"splits": {}}))
    history = RowHistory(run.rows, range(5))
    log = LogWriter(run.log)
    log.append(
        Started(
            time=1.0,
            run="demo",
            recipe_hash=RECIPE.hash(),
            data_hash="d",
            fingerprint=FINGERPRINT,
            total_steps=30,
            batches_per_epoch=10,
            num_rows={"train": 5},
            trainable_parameters=1,
            total_parameters=1,
        )
    )
    sums.write(run.path, only=sums.FIXED)
    for number in range(3):
        log.append(Note(step=number * 10, text=f"note {number}"))
        length, digest = log.sync()
        commit(run, number, length, digest)
        committed = Committed(
            commit=number, step=number * 10, folder="", bytes=1, seconds=0.0, reason="interval"
        )
        log.append(committed)
        history.note(number, range(5), [0.5] * 5)
    if finished:
        run.model.mkdir()
        for name in ("model.safetensors", "config.json", "README.md"):
            (run.model / name).write_text(name)
        sums.write(run.model)
        log.append(Ended(time=2.0, step=20, status="completed", reason="all steps done"))
        history.write()
    log.close()
    if finished:
        summary.store(run)
        sums.write(run.path, leave_out={"checkpoints", "lock", "inbox.jsonl", "summary.json"})
    return run


def commit(run: RunFolder, number: int, length: int, digest: str) -> None:
    facts = {"healthy": number < 2, "log_length": length, "log_digest": digest}

    def write_files(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"weights" * 9)
        (folder / "state.json").write_text("{}")

    checkpoints.write_commit(run.checkpoints, number, number * 10, write_files, facts)


def bad(parts: list[Part]) -> dict[str, str]:
    return {part.what: part.state for part in parts if part.state in ("damaged", "missing")}


def states(parts: list[Part]) -> dict[str, str]:
    return {part.what: part.state for part in parts}


def content_of(run: RunFolder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.path.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("finished", [True, False])
def test_a_whole_run_is_whole_and_nothing_is_changed(tmp_path: Path, finished: bool) -> None:
    run = make_run(tmp_path, finished=finished)
    before = content_of(run)
    parts = verify(run)
    assert content_of(run) == before
    assert set(states(parts).values()) == {"whole"}
    expected = {"log.jsonl", "recipe.yaml", "environment.json", "data.json", "rows", "SHA256SUMS"}
    expected |= {f"checkpoints/000{number}-step-{number}0".replace("-00", "-0") for number in range(3)}
    assert set(states(parts)) == expected | ({"model", "summary.json"} if finished else set())
    told = outlook(run, parts)
    if finished:
        assert (told.text, told.step, told.next) == ("It is complete.", None, "tunewell predict demo")
    else:
        assert (told.step, told.next) == (20, "tunewell resume demo")
        assert told.text == "A resume goes on after step 20, from checkpoint 0002-step-20."


FILES = [
    "recipe.yaml",
    "environment.json",
    "data.json",
    "log.jsonl",
    "SHA256SUMS",
    "rows/ids.bin",
    "rows/epoch-0001.bin",
    "model/model.safetensors",
    "model/config.json",
    "model/README.md",
    "model/SHA256SUMS",
    "checkpoints/0001-step-10/model.safetensors",
    "checkpoints/0001-step-10/state.json",
    "checkpoints/0002-step-20/manifest.json",
]


@pytest.mark.parametrize("name", FILES)
def test_every_bit_of_a_finished_run_that_flips_is_named(tmp_path: Path, name: str) -> None:
    run, rng = make_run(tmp_path), random.Random(name)
    path = run.path / name
    content = path.read_bytes()
    for _ in range(20):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        named = bad(verify(run))
        if named != {name: "damaged"}:  # a blank between two keys of a manifest may change without harm
            assert path.name == "manifest.json"
            assert msgspec.json.decode(bytes(flipped)) == msgspec.json.decode(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["gone", "empty", "half", "one byte less"])
def test_every_file_of_a_finished_run_that_is_cut_or_gone_is_named(
    tmp_path: Path, name: str, how: str
) -> None:
    run = make_run(tmp_path)
    path = run.path / name
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: {"empty": 0, "half": len(content) // 2, "one byte less": -1}[how]])
    named = bad(verify(run))
    if how == "gone" and name.endswith("SHA256SUMS"):
        expected = {"model/SHA256SUMS": "missing"} if "model" in name else {}
    elif how == "one byte less" and path.name == "manifest.json":
        expected = {}  # its last byte is a newline
    else:
        expected = {name: "missing" if how == "gone" else "damaged"}
    assert named == expected


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "environment.json", "data.json", "rows/ids.bin", "SHA256SUMS"]
)
def test_a_run_that_was_cut_short_is_sealed_too(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, finished=False)
    content = bytearray((run.path / name).read_bytes())
    content[-3] ^= 1
    (run.path / name).write_bytes(content)
    assert bad(verify(run)) == {name: "damaged"}


def test_where_a_value_of_the_log_differs_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    run.log.write_bytes(run.log.read_bytes().replace(b"note 1", b"note 7"))
    (part,) = [part for part in verify(run) if part.state == "damaged"]
    ends = [commit.facts["log_length"] for commit in checkpoints.commits(run.checkpoints)]
    assert part.detail == (
        f"it is not what checkpoint 0002-step-20 was made with: a value between byte {ends[0]} and {ends[2]} differs"
    )
    run.log.write_bytes(run.log.read_bytes().replace(b'"note 7', b"?"))
    assert "line 4 can't be read" in next(part.detail for part in verify(run) if part.state == "damaged")


def test_a_log_that_a_resume_mended_is_whole_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    run.log.write_bytes(run.log.read_bytes().replace(b'"note 1', b"?"))
    newest = checkpoints.commits(run.checkpoints)[-1]
    log = LogWriter.salvage(run.log, newest.facts["log_length"])
    log.append(Rewound(step=0, to_step=20, commit=2, reason="resume"))
    commit(run, 3, *log.sync())
    log.close()
    parts = verify(run)
    assert bad(parts) == {}
    assert states(parts)["log.damaged-1.jsonl"] == "left over"
    told = next(part for part in parts if part.what == "log.jsonl")
    assert told.detail == "6 records; a resume mended it after checkpoint 0002-step-20"


def test_a_torn_last_line_is_what_a_crash_leaves(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    with run.log.open("ab") as log:
        log.write(b'{"type":"st')
    parts = verify(run)
    assert bad(parts) == {}
    assert "cut short" in next(part.detail for part in parts if part.what == "log.jsonl")


def test_what_crashes_leave_is_told_and_is_no_damage(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    for name in (
        ".model.tmp",
        ".model.old",
        "checkpoints/.writing-0003-step-30",
        "checkpoints/broken-0001-step-1",
    ):
        (run.path / name).mkdir()
    (run.path / ".recipe.yaml.writing").touch()
    parts = verify(run)
    assert bad(parts) == {}
    assert list(states(parts).values()).count("left over") == 5
    with run.hold():
        assert "left over" not in states(verify(run)).values()


BREAKERS: dict[str, tuple[Callable[[RunFolder], object], int | None, str]] = {
    "newest": (lambda run: (run.checkpoints / "0002-step-20" / "state.json").unlink(), 10, "after step 10"),
    "manifest": (
        lambda run: (run.checkpoints / "0002-step-20" / "manifest.json").unlink(),
        10,
        "after step 10",
    ),
    "all": (lambda run: shutil.rmtree(run.checkpoints), 0, "begins again"),
    "recipe": (lambda run: run.recipe.write_text("model: m\n"), None, "refused until recipe.yaml"),
    "log": (lambda run: run.log.unlink(), 20, "after step 20"),
}


@pytest.mark.parametrize("what", BREAKERS)
def test_where_a_resume_begins_is_told(tmp_path: Path, what: str) -> None:
    run = make_run(tmp_path, finished=False)
    damage, step, words = BREAKERS[what]
    damage(run)
    told = outlook(run, verify(run))
    assert told.step == step
    assert words in told.text


def test_a_damaged_result_can_be_made_again(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.model / "model.safetensors").write_text("?")
    told = outlook(run, verify(run))
    assert "Move the folder model away" in told.text
    assert told.next == "tunewell resume demo"


def test_a_run_that_trains_is_told_with_its_holder(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    with run.hold():
        told = outlook(run, verify(run, repair=True))
    assert told.text.startswith("It is training now: process ")
    assert not run.summary.exists()


def test_a_run_that_never_began(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "demo", dump_recipe(RECIPE), FINGERPRINT)
    parts = verify(run)
    assert bad(parts) == {}
    assert states(parts)["log.jsonl"] == "unchecked"
    assert outlook(run, parts).step == 0


def test_repair_makes_the_index_again_and_touches_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    good = run.summary.read_bytes()
    for damaged in (good.replace(b"demo", b"dumo"), b"", None):
        run.summary.unlink()
        if damaged is not None:
            run.summary.write_bytes(damaged)
            assert states(verify(run))["summary.json"] == "unchecked"
        before = content_of(run)
        assert states(verify(run, repair=True))["summary.json"] == "whole"
        assert content_of(run) == before | {str(run.summary): good}


def test_an_index_that_cannot_be_written_is_no_damage(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.summary.unlink()
    run.summary.mkdir()
    parts = verify(run, repair=True)
    assert bad(parts) == {}
    assert "can't write the summary" in next(part.detail for part in parts if part.what == "summary.json")
