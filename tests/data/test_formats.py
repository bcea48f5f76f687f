"""Every format, plain and compressed, gives the same rows with their places."""

import datetime
import gzip
import json
import lzma
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from tunewell import plugins
from tunewell.data import source as source_module
from tunewell.data.read import read
from tunewell.data.table import Table
from tunewell.problems import DataError, Problem

ROWS = [{"text": "good, really", "label": "pos"}, {"text": 'a "bad"\nfilm', "label": "neg"}]


def read_bytes(tmp_path, name, content) -> Table:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (table,) = read([name], tmp_path)
    return table


def problem_of(tmp_path, name, content) -> Problem:
    with pytest.raises(DataError) as caught:
        read_bytes(tmp_path, name, content)
    (problem,) = caught.value.problems
    assert problem.file == name
    return problem


def as_jsonl(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


CSV = 'text,label\n"good, really",pos\n"a ""bad""\nfilm",neg\n'
TSV = 'text\tlabel\ngood, really\tpos\n"a ""bad""\nfilm"\tneg\n'


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", as_jsonl(ROWS), [1, 2]),
        ("a.ndjson", "\n" + as_jsonl(ROWS), [2, 3]),
        ("a.json", json.dumps(ROWS, indent=1), [2, 6]),
        ("a.csv", CSV, [2, 3]),
        ("a.CSV", CSV, [2, 3]),
        ("a.tsv", TSV, [2, 3]),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("pack", [None, "gz", "xz"])
def test_formats_agree(tmp_path, name, content, lines, *, ends, pack):
    packed = ("\ufeff" * (pack is None) + content.replace("\n", ends)).encode()
    if pack:
        packed = {"gz": gzip.compress, "xz": lzma.compress}[pack](packed)
        name = f"{name}.{pack}"
    table = read_bytes(tmp_path, name, packed)
    texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in table.columns["text"]]
    assert texts == [row["text"] for row in ROWS]
    assert table.columns["label"] == ["pos", "neg"]
    assert table.lines == lines
    assert table.bad == []
    assert table.notes == []


def test_parquet(tmp_path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (table,) = read(["a.parquet"], tmp_path)
    assert table.columns == {"text": [r["text"] for r in ROWS], "label": ["pos", "neg"]}
    assert table.lines == [1, 2]
    content = (tmp_path / "a.parquet").read_bytes()
    assert "not a whole Parquet file" in problem_of(tmp_path, "b.parquet", content[:-20]).message


def test_parquet_names_a_column_twice(tmp_path):
    table = pyarrow.Table.from_arrays([pyarrow.array(["x"]), pyarrow.array(["y"])], names=["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are called `text`"):
        read(["a.parquet"], tmp_path)


def test_json_in_other_shapes(tmp_path):
    whole = {"version": 1, "data": ROWS}
    table = read_bytes(tmp_path, "a.json", json.dumps(whole, indent=1))
    assert table.columns["label"] == ["pos", "neg"]
    assert table.lines == [4, 8]
    assert table.notes == ["a.json: the rows are its list `data`"]
    table = read_bytes(tmp_path, "b.json", as_jsonl(ROWS))
    assert (table.lines, table.notes) == ([1, 2], ["b.json: JSON Lines, read as such"])
    table = read_bytes(tmp_path, "c.jsonl", json.dumps(ROWS, indent=1))
    assert (table.lines, table.notes) == ([2, 6], ["c.jsonl: one JSON array, read as such"])
    table = read_bytes(tmp_path, "d.json", json.dumps(ROWS))
    assert table.lines == [1, 2]
    assert table.notes == ["d.json: places are row numbers, since rows share lines"]
    assert "neither an array" in problem_of(tmp_path, "e.json", '"word"').message
    assert read_bytes(tmp_path, "f.json", '{"text": "x", "label": 1}').columns["label"] == [1]


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        ('[{"text": "a"},\n {"text": "b"', "row 2 of the array can't be read", 2),
        ('[{"text": "a"}\n {"text": "b"}]', "no comma after row 1", 1),
        ('[{"text": "a"},\n', "row 2 of the array can't be read", 2),
        ('[{"text": "a"}\n', "ends inside the array", 1),
        ('[{"text": "a"},\n{"text": "b", "text": "c"}]', "`text` stands twice", 2),
        ('{"text": tru}', "not JSON", 1),
        ('{"a": {"b": 1, "b": 2}}', "`b` stands twice", None),
    ],
)
def test_broken_json(tmp_path, content, message, line):
    problem = problem_of(tmp_path, "a.json", content)
    assert message in problem.message
    assert problem.line == line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "b" "label": 1}', "not JSON: expecting ',' delimiter at column 14"),
        ('{"text": "b", "label": 1, "label": 2}', "the key `label` stands twice in one object"),
        ('["b", 1]', "a list where an object {…} is expected"),
        ("[" * 100_000, "nested too deep"),
        ('{"label": ' + "9" * 5000 + "}", "a number of too many digits"),
    ],
)
def test_bad_json_line_is_one_bad_row(tmp_path, line, message):
    table = read_bytes(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{line}\n{{"text": "c"}}\n')
    assert table.columns["text"] == ["a", "c"]
    (bad,) = table.bad
    assert message in bad.problem.message
    assert bad.problem.line == 2


def test_truncated_last_line(tmp_path):
    table = read_bytes(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b')
    assert len(table) == 1
    assert table.bad[0].problem.message.startswith("the last line is cut off: the text that begins at column")
    assert table.bad[0].problem.line == 2


def test_very_long_lines(tmp_path):
    long = "x" * 10_000_000
    assert read_bytes(tmp_path, "a.jsonl", json.dumps({"text": long})).columns["text"] == [long]
    assert read_bytes(tmp_path, "a.csv", f"text,label\n{long},1\n").columns["text"] == [long]


def test_csv_ragged_rows(tmp_path):
    table = read_bytes(tmp_path, "a.csv", "text,label\na,1\nb\nc,2,3\n\nd,4\n")
    assert table.columns == {"text": ["a", "d"], "label": ["1", "4"]}
    assert table.lines == [2, 6]
    assert [(bad.problem.line, bad.problem.message) for bad in table.bad] == [
        (3, "1 field where the header has 2"),
        (4, "3 fields where the header has 2"),
    ]


def test_csv_open_quote_names_where_it_opens(tmp_path):
    problem = problem_of(tmp_path, "a.csv", 'text,label\na,1\n"b,2\nc,3\nd,4\n')
    assert problem.message == "a quote opens in the row that begins here and never closes"
    assert problem.line == 3


def test_csv_text_after_a_quote(tmp_path):
    table = read_bytes(tmp_path, "a.csv", 'text,label\n"b" said he,2\nc,3\n')
    assert table.columns["text"] == ["c"]
    assert table.bad[0].problem.line == 2
    assert "text after a closing quote" in table.bad[0].problem.message


def test_csv_header(tmp_path):
    assert "names `text` twice" in problem_of(tmp_path, "a.csv", "text,text\na,b\n").message
    assert list(read_bytes(tmp_path, "b.csv", ",text\n0,b\n").columns) == ["column_1", "text"]
    assert "holds no rows" in problem_of(tmp_path, "c.csv", "text,label\n").message


def test_rows_that_hold_nothing(tmp_path):
    assert "holds no rows" in problem_of(tmp_path, "a.jsonl", "{}\n{}\n").message
    assert "holds no rows" in problem_of(tmp_path, "a.json", "[]").message


def test_csv_other_separators(tmp_path):
    table = read_bytes(tmp_path, "a.csv", "text;label\na, b;1\n")
    assert table.columns == {"text": ["a, b"], "label": ["1"]}
    assert table.notes == ["a.csv: the fields are divided by semicolons"]
    assert read_bytes(tmp_path, "b.csv", "text\tlabel\na\t1\n").columns["label"] == ["1"]


def test_tsv_with_plain_quotes(tmp_path):
    table = read_bytes(tmp_path, "a.tsv", 'text\tlabel\n"Good" film\t1\n"Open\t0\n')
    assert table.columns["text"] == ['"Good" film', '"Open']
    assert table.notes == ["a.tsv: quotes are plain characters here"]


def test_tsv_bad_either_way(tmp_path):
    assert len(read_bytes(tmp_path, "a.tsv", "text\tlabel\na\n").bad) == 1
    assert "never closes" in problem_of(tmp_path, "b.tsv", 'text\tlabel\n"a\nb\t1\n').message


def test_format_by_prefix_and_unknown_suffix(tmp_path):
    (tmp_path / "a.txt").write_text(CSV)
    assert read(["csv:a.txt"], tmp_path)[0].lines == [2, 3]
    with pytest.raises(DataError, match=r"known: \.csv, \.json, \.jsonl, \.parquet, \.tsv"):
        read(["a.txt"], tmp_path)
    (tmp_path / "a").write_text(CSV)
    with pytest.raises(DataError, match="no suffix"):
        read(["a"], tmp_path)


def test_each_format_is_a_plugin():
    assert plugins.names("data.formats") == ["csv", "hub", "json", "jsonl", "parquet", "tsv"]
    for name in plugins.names("data.formats"):
        assert plugins.load("data.formats", name).__name__ == name


def test_hub_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as caught:
        read(["hub:stanfordnlp/imdb@test"], tmp_path)
    assert caught.value.problems[0].fix == "in tunewell's clone: pip install '.[hub]'"


@pytest.mark.slow
def test_hub_with_the_library(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "train.csv").write_text("text,label\na,1\nb,0\n")
    script = (
        "from pathlib import Path; from tunewell.data.read import read; from tunewell.problems import DataError\n"
        f"print(read(['hub:{tmp_path}'], Path())[0].columns)\n"
        f"try: read(['hub:{tmp_path}@nowhere'], Path())\n"
        "except DataError as error: print(error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert "{'text': ['a', 'b'], 'label': [1, 0]}" in done.stdout
    assert "can't load it: Unknown split" in done.stdout


def test_a_small_parquet_file_that_grows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source_module, "SMALL", 1 << 20)
    one = pyarrow.array(["a" * 10_000]).take(pyarrow.array([0] * 5000))
    for name, column in (("text", one), ("number", pyarrow.array([1] * 500_000))):
        pyarrow.parquet.write_table(pyarrow.table({name: column}), tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match="decompression bomb"):
            read([f"{name}.parquet"], tmp_path)


def test_parquet_values_are_as_they_were(tmp_path):
    rows = [
        {"text": text, "number": number, "list": ["a", text], "day": datetime.date(2026, 1, 1)}
        for text, number in (("a", 1), ("b", None), (None, 3))
    ] * 100
    table = pyarrow.Table.from_pylist(rows)
    categories = pyarrow.array([5, 7, 5] * 100).dictionary_encode()
    table = table.append_column("category", categories)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (found,) = read(["a.parquet"], tmp_path)
    assert found.columns == table.to_pydict()
    assert len(found) == 300


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bytes_that_are_not_utf8_spoil_their_row_alone(tmp_path, name):
    rows = [b"text,label", b"a,x", b"b\xe9,x", b"c,\xe9"]
    if name == "a.jsonl":
        rows = [b'{"text": "%b", "label": "%b"}' % tuple(row.split(b",")) for row in rows[1:]]
    (tmp_path / name).write_bytes(b"\n".join(rows) + b"\n")
    with pytest.raises(DataError, match="not UTF-8: byte"):
        read([name], tmp_path)
    (table,) = read([name], tmp_path, skip_bad=True)
    assert table.columns["text"] == ["a", "b\udce9", "c"]
