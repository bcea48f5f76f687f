"""Files are found, decompressed within bounds and decoded; what goes wrong is said with its place."""

import gzip
import lzma
import os

import pytest

from tunewell.data import source as source_module
from tunewell.data.read import read
from tunewell.data.source import Source, find
from tunewell.problems import DataError, Problem

JSONL = '{"text": "café", "label": 1}\n'


def problem_of(tmp_path, content: bytes, name="a.jsonl") -> Problem:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read([name], tmp_path)
    (problem,) = caught.value.problems
    assert problem.file == name
    return problem


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
def test_empty_file(tmp_path, name, content):
    assert problem_of(tmp_path, content, name).message == "the file is empty"


def test_utf16(tmp_path):
    problem = problem_of(tmp_path, JSONL.encode("utf-16"))
    assert problem.message == "not UTF-8: byte 0 begins a UTF-16 mark"
    assert "iconv -f UTF-16 -t UTF-8 a.jsonl" in problem.fix
    assert "likely UTF-16LE" in problem_of(tmp_path, JSONL.encode("utf-16-le")).fix


def test_cp1252(tmp_path):
    content = (JSONL.replace("é", "e") + JSONL).encode("cp1252")
    problem = problem_of(tmp_path, content)
    assert problem.message == f"not UTF-8: byte {content.index(0xE9)} (0xe9) can't stand there"
    assert problem.line == 2
    assert "likely CP1252" in problem.fix


def test_other_encodings(tmp_path):
    chinese = '{"text": "这家餐厅的菜很好吃，服务也好。", "label": 1}\n'
    assert "likely GB18030" in problem_of(tmp_path, chinese.encode("gb18030")).fix
    assert "likely ISO-8859-1" in problem_of(tmp_path, b'{"text": "caf\xe9 \x81"}\n').fix


def test_file_cut_inside_a_character(tmp_path):
    problem = problem_of(tmp_path, JSONL.encode()[: JSONL.encode().index(b"\xc3") + 1])
    assert "ends inside a character at byte 13" in problem.message
    assert problem.line == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PAR1xx", "Parquet"),
        (b"PK\x03\x04xx", "Excel"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (lzma.compress(b"x"), "xz"),
    ],
)
def test_foreign_content(tmp_path, content, what):
    assert what in problem_of(tmp_path, content).message


@pytest.mark.parametrize(("name", "pack"), [("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress)])
def test_damaged_archives(tmp_path, name, pack):
    whole = pack(os.urandom(1000))
    assert "damaged or cut off" in problem_of(tmp_path, whole[:-10], name).message
    assert "damaged or cut off" in problem_of(tmp_path, b"plain text", name).message
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    assert "damaged or cut off" in problem_of(tmp_path, bytes(flipped), name).message


def test_decompression_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(DataError, match="more than 500,000 bytes"):
        Source("a", str(tmp_path / "a.jsonl.gz"), max_bytes=500_000).read()
    monkeypatch.setattr(source_module, "SMALL", 1000)
    with pytest.raises(DataError, match="decompression bomb"):
        Source("a", str(tmp_path / "a.jsonl.gz")).read()


def test_missing_file_names_folder_and_nearest(tmp_path):
    (tmp_path / "train.jsonl").write_text(JSONL)
    with pytest.raises(DataError) as caught:
        find("trian.jsonl", tmp_path)
    assert caught.value.problems[0].message == f"no such file in {tmp_path}"
    assert caught.value.problems[0].fix == "did you mean `train.jsonl`?"
    with pytest.raises(DataError, match=r"files there: train\.jsonl"):
        find("zzz", tmp_path)
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        find("nowhere/a.jsonl", tmp_path)
    with pytest.raises(DataError, match=r"no file matches in"):
        find("*.csv", tmp_path)
    with pytest.raises(DataError, match=r"this is a folder"):
        find(".", tmp_path)


def test_globs_are_sorted_and_each_file_comes_once(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl", "[x].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(JSONL)
    names = [table.file for table in read(["a.jsonl", "?.jsonl", "**/*.jsonl"], tmp_path)]
    assert names == ["a.jsonl", "b.jsonl", "[x].jsonl", "sub/c.jsonl"]
    assert find("[x].jsonl", tmp_path)[0].name == "[x].jsonl"
    absolute = find(str(tmp_path / "*.jsonl"), tmp_path / "elsewhere")
    assert [s.name for s in absolute][1:] == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]


def test_all_missing_files_are_told_at_once(tmp_path):
    with pytest.raises(DataError) as caught:
        read(["a.jsonl", "b.jsonl"], tmp_path)
    assert [problem.file for problem in caught.value.problems] == ["a.jsonl", "b.jsonl"]
