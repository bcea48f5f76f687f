import os
from pathlib import Path

import numpy as np
import pytest

from tunewell.data.cache import EncodedRow, cache_folder, encode_split
from tunewell.data.example import Example
from tunewell.problems import DataError


def examples(count=5, target=lambda i: i % 2) -> list[Example]:
    return [Example(10 + i, f"a.csv:{i + 2}", "x" * (i % 7 + 1), None, target(i)) for i in range(count)]


class Encoder:
    def __init__(self, typed=False) -> None:
        self.calls: list[int] = []
        self.typed = typed

    def __call__(self, rows: list[Example]) -> list[EncodedRow]:
        self.calls.append(len(rows))
        return [
            EncodedRow(
                list(range(len(e.text))), [1] * len(e.text) if self.typed else None, e.target, len(e.text) > 3
            )
            for e in rows
        ]


def entry_of(folder: Path) -> Path:
    (entry,) = folder.iterdir()
    return entry


@pytest.mark.parametrize("typed", [False, True])
def test_what_was_encoded_reads_back(tmp_path, typed):
    encoder = Encoder(typed)
    for _ in range(2):
        encoded = encode_split(examples(), encoder, "key", tmp_path)
        assert len(encoded) == 5
        assert encoded.lengths.tolist() == [1, 2, 3, 4, 5]
        assert encoded.lengths.dtype == np.int32
        assert encoded.ids(2).tolist() == [0, 1, 2]
        assert (encoded.type_ids(2) is None) is not typed
        assert not typed or encoded.type_ids(4).tolist() == [1] * 5
        assert encoded.targets.tolist() == [0, 1, 0, 1, 0]
        assert encoded.targets.dtype == np.int64
        assert encoded.rows.tolist() == [10, 11, 12, 13, 14]
        assert encoded.truncated.tolist() == [False, False, False, True, True]
        assert encoded.place(1) == "a.csv:3"
    assert encoder.calls == [5]


def test_chunks(tmp_path):
    encoder = Encoder()
    encoded = encode_split(examples(2500), encoder, "key", tmp_path)
    assert encoder.calls == [1024, 1024, 452]
    assert all(len(encoded.ids(i)) == i % 7 + 1 for i in (0, 1023, 1024, 2499))


def test_targets_of_other_problems(tmp_path):
    scores = encode_split(examples(target=lambda i: i / 2), Encoder(), "key", tmp_path)
    assert (scores.targets.dtype, scores.targets.tolist()) == (np.float32, [0, 0.5, 1, 1.5, 2])
    several = encode_split(examples(3, lambda i: [0, 2][:i]), Encoder(), "key", tmp_path, num_classes=4)
    assert several.targets.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0]]
    assert several.targets.dtype == np.float32


def test_no_rows_and_no_tokens(tmp_path):
    assert len(encode_split([], Encoder(), "key", tmp_path)) == 0
    empty = [Example(0, "a:1", "", None, 0)]
    assert encode_split(empty, Encoder(), "key", tmp_path).ids(0).tolist() == []


def test_other_key_or_content_is_another_entry(tmp_path):
    encoder = Encoder()
    for rows, key in (
        (examples(), "a"),
        (examples(), "b"),
        (examples(4), "a"),
        (examples(target=lambda i: 1), "a"),
    ):
        encode_split(rows, encoder, key, tmp_path)
    assert len(encoder.calls) == 4


@pytest.mark.parametrize(
    "name", ["ids.bin", "offsets.bin", "targets.bin", "rows.bin", "truncated.bin", "meta.json"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_broken_entry_is_built_anew(tmp_path, name, harm):
    encoder = Encoder()
    encode_split(examples(), encoder, "key", tmp_path)
    path = entry_of(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    {
        "flip": lambda: path.write_bytes(content),
        "cut": lambda: path.write_bytes(content[:-1]),
        "remove": path.unlink,
    }[harm]()
    encoded = encode_split(examples(), encoder, "key", tmp_path)
    assert encoder.calls == [5, 5]
    assert encoded.ids(4).tolist() == [0, 1, 2, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == [path.parent.name]


def test_a_failing_encoder_leaves_nothing(tmp_path):
    def fail(rows):
        raise RuntimeError("tokenizer")

    with pytest.raises(RuntimeError, match="tokenizer"):
        encode_split(examples(), fail, "key", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_read_only(tmp_path):
    encoded = encode_split(examples(), Encoder(), "key", tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        encoded.ids(0)[0] = 7


@pytest.mark.parametrize("broken", [False, True])
def test_who_comes_second_in_a_race(tmp_path, broken):
    """Another process finishes the same entry while this one encodes; it stays if it is whole."""

    def encode_while_another_finishes(rows):
        encode_split(examples(), Encoder(), "key", tmp_path)
        (entry,) = (p for p in tmp_path.iterdir() if not p.name.startswith("."))
        (entry / "mark").write_text("the other's")
        if broken:
            (entry / "ids.bin").write_bytes(b"")
        return Encoder()(rows)

    encoded = encode_split(examples(), encode_while_another_finishes, "key", tmp_path)
    assert encoded.ids(4).tolist() == [0, 1, 2, 3, 4]
    assert (entry_of(tmp_path) / "mark").exists() is not broken


def test_folder_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        encode_split(examples(), Encoder(), "key", tmp_path / "file")
    assert caught.value.problems[0].kind == "disk"
    assert "TUNEWELL_CACHE" in caught.value.problems[0].fix


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWELL_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    encode_split(examples(), Encoder(), "key")
    assert len(os.listdir(tmp_path / "cache")) == 1
    monkeypatch.delenv("TUNEWELL_CACHE")
    assert cache_folder().name == "tunewell"
