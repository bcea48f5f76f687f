"""Texts that `tunewell predict` reads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tunewell.cli._texts import from_file, from_stdin
from tunewell.cli.predict import _json_lines, _lines
from tunewell.problems import DataError
from tunewell.tasks._protocol import Prediction


class Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_stdin_is_a_text_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin("\ufeffgood\r\n\n 不错 \n".encode()))
    assert from_stdin() == ["good", "不错"]


def test_stdin_in_another_encoding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin("a\né".encode("cp1252")))
    with pytest.raises(DataError, match="byte 0xe9 at offset 2") as caught:
        from_stdin()
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == ("stdin", 2)


def test_plain_lines_and_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "b.csv").write_text("id,text,other\n1,one,x\n2,two,y\n")
    (tmp_path / "c.jsonl").write_text('{"anything": "one"}\n{"anything": "two"}\n')
    for name in ("a.txt", "b.csv", "c.jsonl"):
        assert from_file(tmp_path / name, tmp_path, None, None) == ["one", "two"]
    assert from_file(tmp_path / "b.csv", tmp_path, "other", None) == ["x", "y"]
    assert from_file(tmp_path / "b.csv", tmp_path, "text", "other") == [("one", "x"), ("two", "y")]


def test_the_columns_of_the_run_are_known(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(
        json.dumps({"columns": {"text": "q1", "text_pair": "q2", "label": "l"}})
    )
    (tmp_path / "b.csv").write_text("q1,q2\none,x\n")
    assert from_file(tmp_path / "b.csv", tmp_path, None, None) == [("one", "x")]


def test_missing_columns_and_texts_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("id,texts\n1,one\n2,\n")
    with pytest.raises(DataError) as caught:
        from_file(tmp_path / "b.csv", tmp_path, None, None)
    assert "no column `text`; it has `id`, `texts`" in str(caught.value)
    assert "name the column: --text texts" in str(caught.value)
    with pytest.raises(DataError) as caught:
        from_file(tmp_path / "b.csv", tmp_path, "texts", None)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [(3, "no text")]


PREDICTIONS = [
    Prediction("pos", 0.91, {"neg": 0.09, "pos": 0.91}),
    Prediction(["a", "b"], 0.6, {"a": 0.6, "b": 0.6}),
]


def test_predictions_are_aligned_lines_or_json() -> None:
    texts = ["good\nfilm", "x" * 200]
    assert _lines(texts, PREDICTIONS) == ["pos   0.910  good film", f"a, b  0.600  {'x' * 99}…"]
    back = [json.loads(line) for line in _json_lines(texts, PREDICTIONS)]
    assert back[0] == {
        "text": "good\nfilm",
        "label": "pos",
        "score": 0.91,
        "probabilities": {"neg": 0.09, "pos": 0.91},
    }
    assert _lines(["a"], [Prediction(None, 2.5, {})]) == ["2.500  a"]
    assert json.loads(_json_lines([("a", "b")], PREDICTIONS[:1])[0])["text_pair"] == "b"
