"""`tunewell records`: the record in other formats, and `tunewell report`."""

from __future__ import annotations

import csv
import json
import math

import pytest

from tunewell import cli
from tunewell.records import Record, Step, encode


@pytest.fixture
def run(tmp_path):
    records: list[Record] = [
        Step(
            step=number, cursor=number, epoch=0.1, stage=0, loss=math.nan if number == 2 else 1 / number,
            learning_rate=1e-4, gradient_norm=2.0, rows=4, tokens=50, seconds=0.5,
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "log.jsonl").write_bytes(b"".join(map(encode, records)))
    return folder


def test_csv_on_stdout(run, capsys):
    assert cli.main(["records", str(run)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["loss"] for row in rows] == ["1.0", "NaN", "0.3333333333333333"]
    assert rows[0]["max_grad_norm"] == ""
    assert rows[0]["skipped"] == "false"


def test_jsonl_in_a_file(run, tmp_path):
    assert cli.main(["records", str(run), "--to", "jsonl", "--out", str(tmp_path / "x.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [1.0, "NaN", 1 / 3]


def test_parquet(run, tmp_path):
    import pyarrow.parquet as pq

    assert cli.main(["records", str(run), "--to", "parquet", "--out", str(tmp_path / "x.parquet")]) == 0
    loss = pq.read_table(tmp_path / "x.parquet")["loss"].to_pylist()
    assert loss[0] == 1.0
    assert math.isnan(loss[1])


def test_tensorboard(run, tmp_path):
    pytest.importorskip("tensorboard")
    assert cli.main(["records", str(run), "--to", "tensorboard", "--out", str(tmp_path / "tb")]) == 0
    assert list((tmp_path / "tb").rglob("events.out.tfevents*"))


def test_what_a_terminal_can_not_show_is_refused(run, capsys):
    assert cli.main(["records", str(run), "--to", "parquet"]) == 2
    assert "--out FILE" in capsys.readouterr().err


def test_the_report_is_written_where_asked(run, tmp_path, capsys):
    assert cli.main(["report", str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "r.html")
    assert "<svg" in (tmp_path / "r.html").read_text("utf-8")
    assert cli.main(["report", str(run)]) == 0
    assert (run / "report.html").is_file()
