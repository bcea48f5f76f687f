"""A run from Python and in a notebook."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tunewell
from tunewell.problems import RunError
from tunewell.records import Ended, Eval, Finding, Record, Started, Step, encode

HOSTILE = "<script>alert(1)</script>"


def step(number: int) -> Step:
    return Step(
        step=number, cursor=number, epoch=0.1, stage=0, loss=2.0 / number, learning_rate=1e-4, gradient_norm=2.0,
        rows=4, tokens=50, seconds=0.5,
    )  # fmt: skip


LOG: list[Record] = [
    Started(
        run="demo", recipe_hash="", data_hash="", fingerprint={}, total_steps=50, batches_per_epoch=10, num_rows={},
        trainable_parameters=1, total_parameters=1,
    ),
    *map(step, range(1, 51)),
    Eval(step=50, epoch=1, split="validation", loss=0.4, metrics={"f1": 0.7}, rows=3, seconds=1, best=True),
    Finding(step=30, monitor="m", code="plateau", severity="warning", summary=HOSTILE, meaning=""),
    Ended(step=50, status="completed", reason="all steps done"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "demo"
    path.mkdir(parents=True)
    (path / "log.jsonl").write_bytes(b"".join(map(encode, LOG)))
    return path


def test_tables_story_and_words(folder):
    run = tunewell.open_run("dem", root=folder.parent)
    assert run.name == "demo"
    assert run.status == "completed"
    assert len(run.table()["loss"]) == 50
    assert run.incidents[0].code == "plateau"
    assert "demo completed at step 50" in run.why()
    assert repr(run).startswith("<Run demo: demo completed at step 50 with 1 incident")
    assert run.report().read_text("utf-8").startswith("<!doctype html>")


def test_frames(folder):
    pytest.importorskip("pandas")
    run = tunewell.open_run(folder)
    assert run.to_pandas()["loss"].iloc[-1] == 2 / 50
    assert run.evals()["f1"].tolist() == [0.7]
    assert run.to_pandas("events")["code"].tolist() == ["plateau"]


def test_without_pandas_it_is_said(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RunError, match=r"tunewell\[pandas\]"):
        tunewell.open_run(folder).to_pandas()


def test_it_shows_itself_and_leaves_the_page_alone(folder):
    html = tunewell.open_run(folder)._repr_html_()
    assert "<svg" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    selectors = [
        part.strip()
        for rule in style.replace("@media (prefers-color-scheme: dark) {", "").split("}")
        for part in rule.partition("{")[0].split(",")
        if part.strip()
    ]
    assert len(selectors) > 30
    assert [selector for selector in selectors if ".tunewell" not in selector] == []


def test_a_run_that_grew_is_read_anew(folder):
    run = tunewell.open_run(folder)
    assert len(run.records) == len(LOG)
    with (folder / "log.jsonl").open("ab") as file:
        file.write(encode(step(51)))
    assert len(run.records) == len(LOG) + 1


def test_watching_a_run_that_is_over_ends(folder, capsys):
    tunewell.open_run(folder).watch()
    assert "demo completed" in capsys.readouterr().out


def test_no_run_there(tmp_path):
    with pytest.raises(RunError, match="no run `nothing`"):
        tunewell.open_run("nothing", root=tmp_path)


@pytest.mark.slow
def test_in_a_real_notebook(folder, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(Path(tunewell.__file__).parent.parent))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    code = f"import tunewell\nrun = tunewell.open_run({str(folder)!r})\nrun"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("run.watch()")]
    )
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown, watched = (cell["outputs"][-1]["data"] for cell in notebook.cells)
    assert "<svg" in shown["text/html"]
    assert "<svg" in watched["text/html"]
