"""The real tools, offline: what they keep of a run that went back once and was gone on with."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tunewell.runs.forwarding import Back, Item, Message, Opening, Point

ITEMS: list[Item] = [
    Point(1, 1000.0, {"train/loss": 1.0}),
    Point(2, 1001.0, {"train/loss": 9.0}),
    Message(2, 1001.5, "critical", "loss spike at step 2", "It rose."),
    Back(1, 1002.0),
    Point(2, 1003.0, {"train/loss": 0.9, "eval/validation/recall/a:b": 1.0}),
    Point(3, 1004.0, {"train/loss": math.nan}),
]


def test_tensorboard_shows_what_was_not_undone(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tunewell.integrations.trackers.tensorboard import Tensorboard

    tracker = Tensorboard(Opening(name="demo", folder=tmp_path, settings={"learning_rate": 1e-4}))
    tracker.take(ITEMS)
    tracker.close("completed")
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    losses = [(event.step, event.value) for event in read.Scalars("train/loss")]
    assert losses[:2] == [(1, 1.0), (2, pytest.approx(0.9))]
    assert math.isnan(losses[2][1])
    texts = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in read.Tags()["tensors"]}
    assert "learning_rate: 0.0001" in texts["recipe"]


def in_a_process(folder: Path, name: str, **environment: str) -> str:
    """Let the tool take the items twice, as a run and its resume, in a process of its own; return what it printed.

    These libraries leave threads, handlers and settings behind that no other test should meet.
    """
    script = f"""
    import sys, threading
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from pathlib import Path
    from test_trackers import ITEMS
    from tunewell import plugins
    from tunewell.runs.forwarding import Opening, Point

    def go():
        opening = Opening(name="demo", folder=Path.cwd(), settings={{"learning_rate": 1e-4, "data.train": ["a.csv"]}})
        kind = plugins.load("integrations.trackers", {name!r})
        first = kind(opening)
        first.take(ITEMS)
        first.close("interrupted")
        second = kind(opening)
        second.take([Point(4, 1005.0, {{"train/loss": 0.5}})])
        second.close("completed")

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wandb_keeps_a_run_offline(tmp_path):
    pytest.importorskip("wandb")
    assert in_a_process(tmp_path, "wandb", WANDB_MODE="offline") == ""
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    name = (tmp_path / "wandb.id").read_text().strip()
    assert len(files) == 2
    assert all(file.name == f"run-{name}.wandb" for file in files)
    kept = b"".join(file.read_bytes() for file in files)
    assert b"train/loss" in kept
    assert b"loss spike at step 2" in kept


@pytest.mark.slow
def test_wandb_without_an_account_asks_for_nothing(tmp_path):
    pytest.importorskip("wandb")
    in_a_process(tmp_path, "wandb", WANDB_API_KEY="")
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


@pytest.mark.slow
def test_mlflow_keeps_a_run_in_files(tmp_path):
    pytest.importorskip("mlflow")
    store = tmp_path / "mlruns"
    assert (
        in_a_process(tmp_path, "mlflow", MLFLOW_TRACKING_URI=store.as_uri(), MLFLOW_ALLOW_FILE_STORE="true")
        == ""
    )
    name = (tmp_path / "mlflow.id").read_text().strip()
    (run,) = store.glob(f"*/{name}")
    steps = [line.split()[2] for line in (run / "metrics" / "train" / "loss").read_text().splitlines()]
    assert steps == ["1", "2", "2", "3", "4"]
    assert (run / "params" / "learning_rate").read_text() == "0.0001"
    assert (run / "metrics" / "eval" / "validation" / "recall" / "a_b").is_file()
    assert "loss spike at step 2" in (run / "artifacts" / "events.md").read_text()
    assert "status: 3" in (run / "meta.yaml").read_text()  # finished


@pytest.mark.slow
def test_trackio_keeps_a_run_in_its_database(tmp_path):
    pytest.importorskip("trackio")
    assert in_a_process(tmp_path, "trackio", TRACKIO_DIR=str(tmp_path / "kept")) == ""
    (database,) = (tmp_path / "kept").glob("*.db")
    with sqlite3.connect(database) as read:
        rows = read.execute("select step, run_name from metrics order by id").fetchall()
        alerts = read.execute("select title, level from alerts").fetchall()
    read.close()
    assert [row[0] for row in rows] == [1, 2, 2, 3, 4]
    assert {row[1] for row in rows} == {(tmp_path / "trackio.id").read_text().strip()}
    assert alerts == [("loss spike at step 2", "error")]
