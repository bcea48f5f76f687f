"""Whatever the bytes of a file, the answer is a data set or a `DataError`, never another exception."""

import gzip
import json
import lzma
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewell.data.prepare import prepare
from tunewell.problems import DataError, Problem
from tunewell.recipe import Recipe

ROWS = [{"text": f"some, \"text\" {i}\n'é'", "label": ["a", "b"][i % 2], "id": i} for i in range(8)]
FORMATS = ["jsonl", "json", "csv", "tsv", "parquet"]
QUIET = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def valid(suffix: str) -> bytes:
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if suffix == "json":
        return json.dumps(ROWS, indent=1).encode()
    if suffix == "parquet":
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), sink)
        return sink.getvalue().to_pybytes()
    separator = "," if suffix == "csv" else "\t"
    quoted = [['"' + str(value).replace('"', '""') + '"' for value in row.values()] for row in ROWS]
    return "\n".join(separator.join(fields) for fields in [["text", "label", "id"], *quoted]).encode()


def problems(folder: Path, name: str, problem: str | None = None, **data) -> list[Problem]:
    try:
        dataset = prepare(Recipe(data={"train": name, **data}, problem=problem), folder)
    except DataError as error:
        return error.problems or [Problem("data", "an error without a problem" * 1000)]
    assert dataset.ledger.lines()
    return []


def survives(folder: Path, name: str, content: bytes, **data) -> None:
    (folder / name).write_bytes(content)
    found = problems(folder, name, **data)
    assert len(found) <= 20
    assert all(len(str(problem)) < 4000 for problem in found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_valid_content_is_read(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(valid(suffix))
    dataset = prepare(Recipe(data={"train": f"a.{suffix}", "validation": None}), tmp_path)
    assert [e.text for e in dataset.splits["train"]] == [row["text"] for row in ROWS]


@pytest.mark.parametrize("suffix", FORMATS)
@QUIET
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3), st.integers(0, 3)), max_size=6),
    st.booleans(),
)
def test_mutated_files(tmp_path, suffix, changes, skip_bad):
    content = bytearray(valid(suffix))
    for at, inserted, removed in changes:
        start = at % (len(content) + 1)
        content[start : start + removed] = inserted
    survives(tmp_path, f"a.{suffix}", bytes(content), skip_bad=skip_bad)


@pytest.mark.parametrize("suffix", FORMATS)
@QUIET
@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet='",;:[]{}\\\t\n\r ae1.\0é', max_size=80).map(str.encode)
    )
)
def test_random_files(tmp_path, suffix, content):
    survives(tmp_path, f"a.{suffix}", content, skip_bad=True)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
@QUIET
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_flipped_archives(tmp_path, pack, at, bits):
    content = bytearray(pack(valid("jsonl")))
    content[at % len(content)] ^= bits
    survives(tmp_path, f"a.jsonl.{'gz' if pack is gzip.compress else 'xz'}", bytes(content))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)


@QUIET
@given(
    st.lists(
        st.fixed_dictionaries({"text": VALUES, "label": VALUES}, optional={"id": VALUES}),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(
        [(None, None), ("single_label", None), ("multi_label", None), ("regression", None), (None, "ab")]
    ),
)
def test_random_values(tmp_path, rows, asked):
    problem, names = asked
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = list(names) if names else None
    assert len(problems(tmp_path, "a.jsonl", problem, labels=labels, skip_bad=True)) <= 20
