import math
import os
import shutil

import msgspec
import pytest

from tunewell.actions import Pause, ScaleLearningRate
from tunewell.problems import RunError
from tunewell.records import Acted, Committed, Ended, Eval, Finding, Rewound, Started, Step, encode
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.runs.summary import list_runs, store, stored, summarize


def started(at=1000.0, steps=100):
    return Started(
        time=at,
        run="demo",
        recipe_hash="r",
        data_hash="d",
        fingerprint={},
        total_steps=steps,
        batches_per_epoch=50,
        num_rows={"train": 1000},
        trainable_parameters=1,
        total_parameters=1,
    )


def step(number):
    return Step(
        time=1000.0 + number,
        step=number,
        cursor=number,
        epoch=number / 50,
        stage=0,
        loss=1 / number,
        learning_rate=1e-4,
        gradient_norm=1.0,
        rows=32,
        tokens=999,
        seconds=0.1,
    )


def evaluation(number, split="validation", loss=0.4, best=False):
    return Eval(
        step=number,
        epoch=number / 50,
        split=split,
        loss=loss,
        metrics={"accuracy": 1 - loss},
        rows=9,
        seconds=0.1,
        best=best,
    )


def finding(severity):
    return Finding(step=3, monitor="m", code="loss_spike", severity=severity, summary="", meaning="")


def acted(by, outcome="applied"):
    return Acted(step=3, action=ScaleLearningRate(0.5), by=by, reason="", outcome=outcome)


def make(path, records):
    run = RunFolder.create(path, "", {})
    writer = LogWriter(run.log)
    for record in records:
        writer.append(record)
    writer.close()
    return run


def whole():
    return [
        started(),
        evaluation(0, "test", 0.7),
        step(1),
        evaluation(1, loss=0.5),
        step(2),
        evaluation(2, loss=0.3, best=True),
        Committed(commit=1, step=2, folder="0001-step-2", bytes=1, seconds=0.0, reason="evaluation"),
        step(3),
        finding("warning"),
        finding("warning"),
        finding("critical"),
        acted("cautious"),
        acted("cautious", "refused"),
        acted("recipe"),
        step(4),
        evaluation(4, loss=0.6),
        evaluation(4, "test", 0.2),
        Ended(time=1010.0, step=4, status="completed", reason="all steps done", seconds=9.5),
    ]


def test_a_completed_run(tmp_path):
    make(tmp_path / "demo", whole())
    found = summarize(tmp_path / "demo")
    assert (found.name, found.status, found.reason) == ("demo", "completed", "all steps done")
    assert (found.step, found.total_steps, found.epoch, found.loss) == (4, 100, 0.08, 0.25)
    assert [each.step for each in (found.first_eval, found.best_eval, found.last_eval)] == [1, 2, 4]
    assert (found.test_before.loss, found.test_after.loss) == (0.7, 0.2)
    assert found.findings == {"warning": 2, "critical": 1}
    assert (found.actions, found.checkpoints, found.rewinds) == (1, 1, 0)
    assert (found.started, found.updated, found.seconds) == (1000.0, 1010.0, 9.5)
    assert not found.partial


def test_a_paused_run_is_paused_while_its_process_lives_even_where_only_the_ends_are_read(tmp_path):
    pause = Acted(step=5000, action=Pause(), by="anna", reason="asked for", outcome="applied", request="a")
    waited = Committed(commit=1, step=5000, folder="x", bytes=1, seconds=0.0, reason="pause")
    steps = [step(number) for number in range(1, 5001)]
    run = make(tmp_path / "demo", [started(), *steps, pause, waited])
    with run.hold():
        for quick in (False, True):
            found = summarize(run.path, quick=quick)
            assert (found.status, found.step, found.partial) == ("paused", 5000, quick)
    assert summarize(run.path, quick=True).status == "crashed"
    went_on = make(tmp_path / "other", [started(), *steps, pause, waited, step(5001)])
    with went_on.hold():
        assert summarize(went_on.path, quick=True).status == "running"


def test_a_run_without_an_end_is_running_or_crashed(tmp_path):
    run = make(tmp_path / "demo", [started(), step(1), step(2)])
    with run.hold():
        assert summarize(run.path).status == "running"
    found = summarize(run.path)
    assert (found.status, found.step, found.seconds) == ("crashed", 2, 2.0)
    assert found.best_eval is None


def test_a_resumed_run_has_not_ended(tmp_path):
    interrupted = Ended(step=3, status="interrupted", reason="SIGTERM")
    resumed = Rewound(step=0, to_step=2, commit=1, reason="resume")
    run = make(tmp_path / "demo", [started(), step(2), step(3), evaluation(3), interrupted, resumed])
    found = summarize(run.path)
    assert (found.status, found.step, found.last_eval, found.rewinds) == ("crashed", 2, None, 1)


def test_a_run_that_never_began(tmp_path):
    run = RunFolder.create(tmp_path / "demo", "", {})
    assert summarize(run.path).status == "crashed"
    assert summarize(run.path).step == 0
    with run.hold():
        assert summarize(run.path).status == "running"


def test_damage_and_a_torn_end_are_passed_over(tmp_path):
    run = make(tmp_path / "demo", whole()[:-1])
    content = run.log.read_bytes()
    run.log.write_bytes(content + b'\x00\x00\n{"type":"step","st')
    found = summarize(run.path)
    assert (found.status, found.step) == ("crashed", 4)


def test_no_run_here(tmp_path):
    with pytest.raises(RunError, match="no run here"):
        summarize(tmp_path)


def test_a_quick_summary_of_a_long_log_is_of_its_ends(tmp_path):
    middle = [step(number) for number in range(5, 3000)]
    run = make(tmp_path / "demo", [*whole()[:-1], *middle, evaluation(3000, loss=0.1), step(3000)])
    assert run.log.stat().st_size > 3 << 16
    quick, full = summarize(run.path, quick=True), summarize(run.path)
    assert quick.partial
    assert not full.partial
    assert (quick.step, quick.total_steps, quick.last_eval.loss) == (3000, 100, 0.1)
    assert (full.step, full.findings) == (3000, {"warning": 2, "critical": 1})


def test_runs_are_listed_newest_first(tmp_path):
    root = tmp_path / "runs"
    assert list_runs(root) == []
    for number, name in enumerate(["old", "middle", "new"]):
        make(root / name, [started(at=1000.0 + number), step(1)])
    (root / "not-a-run").mkdir()
    (root / "file").touch()
    assert [found.name for found in list_runs(root)] == ["new", "middle", "old"]


def test_a_run_that_cannot_be_read_is_listed_as_such(tmp_path):
    make(tmp_path / "good", whole())
    bad = make(tmp_path / "bad", whole())
    bad.log.unlink()
    bad.log.mkdir()  # opening it fails
    assert {found.name: found.status for found in list_runs(tmp_path)} == {
        "good": "completed",
        "bad": "unreadable",
    }


def listed(root):
    return {found.name: found for found in list_runs(root)}


def test_the_index_of_a_run_is_what_its_log_says(tmp_path):
    run = make(tmp_path / "demo", whole())
    assert stored(run) is None
    store(run)
    found = stored(run)
    assert (
        found
        == listed(tmp_path)["demo"]
        == msgspec.structs.replace(summarize(run.path), open_incidents={"critical": 1})
    )


def test_an_index_of_a_log_with_another_length_counts_for_nothing(tmp_path):
    run = make(tmp_path / "demo", whole()[:-1])
    store(run)
    with run.log.open("ab") as log:
        log.write(encode(whole()[-1]))
    assert stored(run) is None
    assert listed(tmp_path)["demo"].status == "completed"
    run.log.unlink()
    assert listed(tmp_path)["demo"].step == 0


def test_nothing_non_finite_is_lost_in_the_index(tmp_path):
    worst = msgspec.structs.replace(evaluation(2), loss=math.inf, metrics={"accuracy": math.nan})
    run = make(tmp_path / "demo", [started(), msgspec.structs.replace(step(1), loss=math.nan), worst])
    store(run)
    found = stored(run)
    assert math.isnan(found.loss)
    assert found.last_eval.loss == math.inf
    assert math.isnan(found.last_eval.metrics["accuracy"])


def test_every_damage_to_the_index_is_noticed(tmp_path):
    run = make(tmp_path / "demo", whole())
    store(run)
    content, found = run.summary.read_bytes(), stored(run)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        run.summary.write_bytes(flipped)
        assert stored(run) in (None, found)  # a blank between two keys may change without harm
    for size in (0, 1, len(content) // 2):
        run.summary.write_bytes(content[:size])
        assert stored(run) is None
    run.summary.unlink()
    run.summary.mkdir()
    assert found is not None
    assert listed(tmp_path)["demo"] == msgspec.structs.replace(found, open_incidents=None)


def test_a_copied_run_is_listed_under_its_own_name(tmp_path):
    run = make(tmp_path / "demo", whole())
    store(run)
    shutil.copytree(run.path, tmp_path / "again")
    found = listed(tmp_path)
    assert {name: summary.path for name, summary in found.items()} == {
        "demo": str(tmp_path / "demo"),
        "again": str(tmp_path / "again"),
    }


def test_an_index_of_a_run_without_an_end_asks_who_holds_it(tmp_path):
    run = make(tmp_path / "demo", whole()[:-1])
    store(run)
    assert stored(run).status == "crashed"
    with run.hold():
        assert stored(run).status == "running"


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_a_read_only_run_is_listed_and_not_indexed(tmp_path):
    run = make(tmp_path / "demo", whole())
    run.path.chmod(0o500)
    try:
        assert listed(tmp_path)["demo"].status == "completed"
        with pytest.raises(RunError, match="writing is not allowed"):
            store(run)
    finally:
        run.path.chmod(0o700)


def test_a_clock_that_goes_back_leaves_a_sane_summary(tmp_path):
    """The clock is set back by a day after the start, and to 1970 for the end."""
    records = [
        started(at=100_000.0),
        msgspec.structs.replace(step(1), time=13_600.0),
        msgspec.structs.replace(step(2), time=13_601.0),
    ]
    run = make(tmp_path / "demo", records)
    found = summarize(run.path)
    assert (found.status, found.step, found.started, found.updated, found.seconds) == (
        "crashed", 2, 100_000.0, 100_000.0, 0.0,
    )  # fmt: skip
    make(tmp_path / "later", [started(at=13_700.0), Ended(time=1.0, step=1, status="completed", reason="")])
    assert [found.name for found in list_runs(tmp_path)] == ["demo", "later"]
    assert all(found.seconds >= 0 and found.updated >= found.started for found in list_runs(tmp_path))
