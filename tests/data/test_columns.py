import pytest

from tunewell.data.columns import Columns, choose
from tunewell.data.table import Table
from tunewell.problems import DataError
from tunewell.recipe import Data


def table(file="a.csv", **columns) -> Table:
    rows = len(next(iter(columns.values()))) if columns else 0
    return Table(file, columns, list(range(2, rows + 2)))


def chosen(*tables, **data) -> Columns:
    return choose(tables, Data(train="a.csv", **data))[0]


def test_guessed_by_name_with_notes():
    columns, notes = choose([table(ID=["1"], Review=["fine"], Sentiment=["pos"])], Data(train="a.csv"))
    assert columns == Columns("Review", "Sentiment", id="ID")
    assert notes == [
        "label: column `Sentiment` (by its name)",
        "text: column `Review` (by its name)",
        "id: column `ID` (by its name)",
    ]


def test_pairs_are_guessed_together():
    columns = chosen(table(idx=[1], sentence1=["a"], sentence2=["b"], label=[0]))
    assert columns == Columns("sentence1", "label", text_pair="sentence2", id="idx")
    assert chosen(table(premise=["a"], hypothesis=["b"], label=[0]), text="premise").text_pair is None


def test_guessed_by_content():
    columns = chosen(table(a=["x", "y"], b=["a long text", "another text"]), label="a")
    assert columns.text == "b"
    columns = chosen(table(text=["x", "y"], verdict=["p", "n"]))
    assert columns.label == "verdict"
    words = ["some words", "other words", "more words", "last words"] * 3
    columns = chosen(table(x=words, y=["u", "v"] * 6, z=[str(i) for i in range(12)]))
    assert (columns.text, columns.label) == ("x", "y")


def test_named_columns_win():
    columns, notes = choose(
        [table(text=["a"], t2=["b"], label=[1], y=[2])], Data(train="a", text="t2", label="y")
    )
    assert (columns.text, columns.label, notes) == ("t2", "y", [])


def test_missing_columns_are_all_told():
    with pytest.raises(DataError) as caught:
        chosen(
            table(text=["a"], label=[1]),
            table("b.csv", texts=["a"]),
            text="text",
            label="label",
            group_by="author",
        )
    told = [(p.file, p.field, p.fix) for p in caught.value.problems]
    assert told == [
        ("a.csv", "data.group_by", "set data.group_by to one of them"),
        ("b.csv", "data.text", "did you mean `texts`?"),
        ("b.csv", "data.label", "set data.label to one of them"),
        ("b.csv", "data.group_by", "set data.group_by to one of them"),
    ]
    assert caught.value.problems[0].message == "no column `author`; it has `text`, `label`"


def test_no_guess():
    with pytest.raises(DataError, match=r"which column is the label\? the file has `text`, `a`, `b`"):
        chosen(table(text=["x"], a=["y"], b=["z"]))
    with pytest.raises(DataError, match=r"which column is the text\?"):
        chosen(table(label=[1, 2], other=[3, 4]))


def test_a_column_with_an_endless_name_is_told_shortly() -> None:
    name = "9" * 3000
    table = Table("a.csv", {name: ["x", "y"], "id": ["1", "2"]}, [2, 3], [])
    with pytest.raises(DataError) as refused:
        choose([table], Data(train=["a.csv"]))
    assert len(str(refused.value)) < 600
