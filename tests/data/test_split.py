from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tunewell.data.split import joined_groups, split_by_share


def keys(count: int) -> list[bytes]:
    return [f"text {i}".encode() for i in range(count)]


def test_stratified_shares_are_exact():
    classes = [[0]] * 700 + [[1]] * 200 + [[2]] * 100
    parts = split_by_share(keys(1000), classes, {"test": 0.2, "validation": 0.1}, seed=0)
    counts = Counter((part, c) for part, (c,) in zip(parts, classes, strict=True))
    assert {name: [counts[name, c] for c in range(3)] for name in ("train", "validation", "test")} == {
        "train": [490, 140, 70], "validation": [70, 20, 10], "test": [140, 40, 20],
    }  # fmt: skip


def test_order_of_rows_does_not_matter():
    texts = keys(300)
    classes = [[i % 3] for i in range(300)]
    parts = dict(zip(texts, split_by_share(texts, classes, {"test": 0.2}, seed=5), strict=True))
    backwards = split_by_share(texts[::-1], classes[::-1], {"test": 0.2}, seed=5)
    assert parts == dict(zip(texts[::-1], backwards, strict=True))
    assert parts != dict(zip(texts, split_by_share(texts, classes, {"test": 0.2}, seed=6), strict=True))


def test_few_rows():
    assert split_by_share([b"a"], [[0]], {"test": 0.5}, 0) == ["train"]
    parts = split_by_share(keys(4), [[0], [0], [1], [1]], {"validation": 0.1}, 0)
    assert sorted(parts) == ["train", "train", "train", "validation"]
    lonely = split_by_share(keys(11), [[0]] * 10 + [[1]], {"validation": 0.5}, 0)
    assert lonely[10] == "train"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=2, max_size=120),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
)
def test_groups_are_never_divided(rows, share, seed):
    groups = [str(group).encode() for group, _ in rows]
    parts = split_by_share(groups, [[c] for _, c in rows], {"test": share, "validation": share}, seed)
    for name in set(groups):
        assert len({part for part, group in zip(parts, groups, strict=True) if group == name}) == 1


def test_groups_join_texts_and_names():
    texts = [b"a", b"a", b"b", b"c", b"d", b"e"]
    named = ["x", "y", "y", None, None, "z"]
    groups = joined_groups(texts, named)
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 4
    assert sorted(groups) == sorted(joined_groups(texts[::-1], named[::-1]))
