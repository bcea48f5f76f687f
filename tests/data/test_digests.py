"""Which rows changed is told by their places."""

from __future__ import annotations

from tunewell.data.digests import SIZE, differences, row_digests
from tunewell.data.example import Example


def rows(*texts: str, first: int = 1) -> list[Example]:
    return [Example(i, f"a.csv:{i}", text, None, 0) for i, text in enumerate(texts, start=first)]


def test_equal_rows_differ_in_nothing_whatever_their_order() -> None:
    before = row_digests({"train": rows("a", "b", "b")})
    assert len(before["train"]) == 3 * SIZE
    assert differences(before, {"train": rows("b", "a", "b")}) == []


def test_new_and_lost_rows_are_told_by_split() -> None:
    before = row_digests({"train": rows("a", "b", "b"), "test": rows("t")})
    now = {"train": rows("a", "c", "b"), "validation": rows("v", first=9)}
    assert differences(before, now) == [
        "train: 1 row is new or changed (a.csv:2), 1 gone",
        "test: 1 row is gone",
        "validation: 1 row is new or changed (a.csv:9)",
    ]


def test_a_label_counts_and_many_places_are_cut_short() -> None:
    before = row_digests({"train": rows(*"abcde")})
    changed = [Example(e.row, e.place, e.text, None, 1) for e in rows(*"abcde")]
    [told] = differences(before, {"train": changed})
    assert told.startswith("train: 5 rows are new or changed (a.csv:1, a.csv:2, a.csv:3, …)")
