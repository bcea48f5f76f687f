import math

import pytest

from tunewell.data.example import RawRow
from tunewell.data.labels import Labels, guess_problem, read_labels
from tunewell.data.spelling import spell
from tunewell.data.table import BadRow
from tunewell.problems import DataError


def labelled(*values, test=(), **options) -> Labels:
    rows = [RawRow(i, "train", "a.csv", i + 2, "text", None, value) for i, value in enumerate(values)]
    rows += [RawRow(100 + i, "test", "t.csv", i + 2, "text", None, value) for i, value in enumerate(test)]
    return read_labels(rows, "label", **options)


def bad_of(labels: Labels) -> list[tuple[int | None, str]]:
    return [(t.problem.line, t.problem.message) for t in labels.targets if isinstance(t, BadRow)]


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (1, "1"), (1.0, "1"), ("1", "1"), (" 1.0", "1"), ("1.", "1"), ("+1", "1"), ("-0", "0"), ("012", "012"),
        (True, "true"), ("yes ", "yes"), (0.5, "0.5"), (None, None), (math.nan, None), ("NaN", None), ("", None),
        (" ", None), ("null", None), ("none", "none"), (math.inf, None), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_spelling(value, spelled):
    assert spell(value) == spelled


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["pos", "neg", None], "single_label"),
        ([0, 1, 1], "single_label"),
        (["1.0", "0.0"], "single_label"),
        ([1, 2.5], "regression"),
        (["0.1", "7"], "regression"),
        (list(range(30)), "regression"),
        (list(range(30)) * 5, "single_label"),
        ([["a"], []], "multi_label"),
        (['["a", "b"]', "[]"], "multi_label"),
        (["a|b", "a", "b", "b|a"], "multi_label"),
        (["this; that", "other"], "single_label"),
        (["[draft]", "final"], "single_label"),
        ([True, False], "single_label"),
    ],
)
def test_problem_is_guessed(values, problem):
    assert guess_problem(values)[0] == problem


def test_single_label():
    labels = labelled("pos", "neg", "pos", "neutral")
    assert (labels.problem, labels.names, labels.targets) == (
        "single_label",
        ["neg", "neutral", "pos"],
        [2, 0, 2, 1],
    )
    assert labels.notes == [
        "problem: single_label (3 different labels)",
        "labels: neg → 0, neutral → 1, pos → 2",
    ]
    assert labelled(10, 9, "10").names == ["9", "10"]
    assert labelled(True, False).names == ["false", "true"]


def test_spellings_are_unified_with_a_note():
    labels = labelled("1", "1.0", "0", "yes ", "yes", "Yes", "yes")
    assert labels.names == ["0", "1", "yes"]
    assert labels.targets == [1, 1, 0, 2, 2, 2, 2]
    assert "labels: '1', '1.0' are one class, `1`" in labels.notes
    assert "labels: 'Yes', 'yes ', 'yes' are one class, `yes`" in labels.notes


def test_missing_labels():
    labels = labelled("a", None, math.nan, " ", "nan", "b")
    assert bad_of(labels) == [
        (3, "no label"), (4, "no label: `nan` is none"), (5, "the label is empty"), (6, "no label: `nan` is none"),
    ]  # fmt: skip


def test_labels_outside_the_given_set():
    labels = labelled("pos", "neg", "positve", names=["pos", "neg", "positive"])
    assert labels.names == ["pos", "neg", "positive"]
    (bad,) = [t for t in labels.targets if isinstance(t, BadRow)]
    assert bad.reason == "unknown label"
    assert bad.problem.message == "the label `positve` is not in data.labels"
    assert bad.problem.fix == "did you mean `positive`?"
    assert bad_of(labelled("a", "b", test=["a", "z"])) == [
        (3, "the label `z` is not among the training rows' labels")
    ]


def test_given_names_for_numbers():
    labels = labelled(0, "1", 1.0, names=["neg", "pos"])
    assert (labels.problem, labels.targets) == ("single_label", [0, 1, 1])
    assert "the numbers of the classes" in labels.notes[1]
    assert labelled(1, 2, names=["1", "2"]).targets == [0, 1]
    assert labelled("Yes", "yes", names=["yes", "Yes"]).targets == [1, 0]


def test_one_class_only():
    with pytest.raises(DataError, match="every training row has the label `a`"):
        labelled("a", "a", test=["b"])


def test_a_class_for_each_row():
    with pytest.raises(DataError, match="20 classes in 20 rows"):
        labelled(*[f"id {i}" for i in range(20)])


def test_mixed_types():
    labels = labelled("good", "bad", "good", 1, 0.0)
    assert labels.names == ["bad", "good"]
    assert bad_of(labels) == [
        (5, "the number 1 among labels of another type"),
        (6, "the number 0.0 among labels of another type"),
    ]
    assert bad_of(labelled(0, 1, 1, "good", "1")) == [
        (5, "the text 'good' among labels of another type"),
    ]
    assert bad_of(labelled("a", "b", ["a"], {"x": 1}, problem="single_label")) == [
        (4, "a list where one label is expected"),
        (5, "an object where one label is expected"),
    ]


def test_scores_are_no_classes():
    with pytest.raises(DataError) as caught:
        labelled(1, 0, 3.7, problem="single_label")
    assert caught.value.problems[0].message == "the label 3.7 is a score, not a class"
    assert caught.value.problems[0].fix.startswith("set problem: regression")
    assert caught.value.problems[0].line == 4


@pytest.mark.parametrize("problem", ["single_label", "regression"])
@pytest.mark.parametrize("huge", [2**70, str(2**70), "9" * 5000])
def test_huge_integers(huge, problem):
    labels = labelled("1", "2", huge, problem=problem)
    ((line, message),) = bad_of(labels)
    assert line == 4
    assert "is too big for a" in message or "not a finite number" in message
    assert len(message) < 120


def test_several_labels():
    labels = labelled(["a", "b"], [], ["b", "b"], None, ["c", None])
    assert (labels.problem, labels.names) == ("multi_label", ["a", "b", "c"])
    assert labels.targets[:3] == [[0, 1], [], [1]]
    assert bad_of(labels) == [(5, "no label"), (6, "no label")]
    labels = labelled("a|b", "a", "b | c", "", "c|")
    assert labels.targets[:3] == [[0, 1], [0], [1, 2]]
    assert labels.targets[4] == [2]
    assert bad_of(labels) == [(5, "the label is empty")]
    assert "labels: several in one value, divided by `|`" in labels.notes
    labels = labelled("a, b", "b", problem="multi_label", names=["a", "b", "c"])
    assert labels.targets == [[0, 1], [1]]
    assert labelled('["a", "b"]', '["b"]').targets == [[0, 1], [1]]


def test_regression():
    labels = labelled("1.5", 2, " 3e-1 ", -0.25)
    assert (labels.problem, labels.names, labels.targets) == ("regression", [], [1.5, 2.0, 0.3, -0.25])
    labels = labelled(0.5, 1.5, "high", math.inf, None, True, problem="regression")
    assert bad_of(labels) == [
        (4, "the label 'high' is not a finite number"),
        (5, "the label inf is not a finite number"),
        (6, "no label"),
        (7, "the label True is not a finite number"),
    ]
    with pytest.raises(DataError, match=r"every training label is 2\.5"):
        labelled(2.5, 2.5, 2.5)


def test_minus_one_beside_numbered_classes_is_no_class_unless_named():
    labels = labelled(0, 1, -1, 2, "-1.0")
    assert labels.names == ["0", "1", "2"]
    assert [line for line, _ in bad_of(labels)] == [4, 6]
    assert "usual mark of a row without a label" in bad_of(labels)[0][1]
    assert labelled(-1, 0, 1, names=["-1", "0", "1"]).targets == [0, 1, 2]
    assert labelled(-1, 1, 1).targets == [0, 1, 1]
