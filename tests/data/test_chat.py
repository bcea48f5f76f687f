"""Conversations: usual spellings are understood, roles stand in a right order, something is there to learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell.data.chat import Chats, Turn, check_chats, columns_of, nothing_left, read_chats
from tunewell.data.read import read
from tunewell.problems import DataError

QUESTION, ANSWER = Turn("user", "hello"), Turn("assistant", "hi there")


def chats(folder: Path, *rows: dict[str, object]) -> Chats:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (table,) = read([str(path)], folder)
    return read_chats(table)


def messages(*turns: tuple[str, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    "row",
    [
        messages(("user", "hello"), ("assistant", "hi there")),
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi there"}]},
        {"prompt": "hello", "completion": "hi there"},
        {"prompt": [{"role": "user", "content": "hello"}], "completion": "hi there"},
        {"instruction": "hello", "input": "", "output": "hi there"},
        messages(("User", [{"type": "text", "text": "hello"}]), ("assistant", "hi there")),
    ],
    ids=["messages", "sharegpt", "pair", "mixed pair", "alpaca", "parts"],
)
def test_usual_spellings(tmp_path, row):
    found = chats(tmp_path, row)
    assert found.bad == []
    assert found.chats[0].turns == [QUESTION, ANSWER]
    assert found.chats[0].place.endswith("chats.jsonl:1")


def test_an_alpaca_input_follows_the_instruction(tmp_path):
    found = chats(tmp_path, {"instruction": "Translate", "input": "hello", "output": "hallo"})
    assert found.chats[0].turns[0].text == "Translate\n\nhello"


def test_tools_and_system(tmp_path):
    row = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
            {"role": "tool", "content": "4"},
            {"role": "tool", "content": "four"},
            {"role": "assistant", "content": "4"},
        ]
    }
    found = chats(tmp_path, row)
    assert [turn.role for turn in found.chats[0].turns] == [
        "system", "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert found.roles == {"developer": "system"}


@pytest.mark.parametrize(
    ("row", "reason", "message", "fix"),
    [
        (messages(), "no turns", "the list of turns is empty", "give it turns"),
        ({"messages": "hi"}, "no turns", "a text where a list of turns", '"role"'),
        ({"messages": ["hi"]}, "no turns", "turn 1 is a text", '"role"'),
        ({"messages": [{"content": "hi"}]}, "unknown role", "turn 1 has no role", "user"),
        (messages(("usre", "hi")), "unknown role", "unknown role `usre`", "did you mean `user`?"),
        (messages((7, "hi")), "unknown role", "unknown role `7`", "known roles"),
        (messages(("user", "a"), ("user", "b")), "roles in a wrong order", "turn 2 is `user` after", "join"),
        (messages(("assistant", "a")), "roles in a wrong order", "turn 1 is `assistant` at the start", "user"),
        (messages(("user", "a"), ("system", "b")), "roles in a wrong order", "turn 2 is `system`", "mend"),
        (messages(("user", "a")), "nothing to learn", "the assistant says nothing", "add an answer"),
        (messages(("user", "a"), ("assistant", " \n")), "nothing to learn", "the assistant says", "add"),
        (messages(("user", " "), ("assistant", "b")), "turn without a text", "turn 1 (`user`) is empty", "give"),
        (messages(("user", None), ("assistant", "b")), "turn without a text", "turn 1 (`user`) has no", "give"),
        (messages(("user", 5), ("assistant", "b")), "turn without a text", "is a number, not a text", "quotes"),
        (messages(("user", "a\ud800"), ("assistant", "b")), "unusable text", "half a character", "mend"),
    ],
)  # fmt: skip
def test_bad_rows_name_the_turn(tmp_path, row, reason, message, fix):
    found = chats(tmp_path, messages(("user", "a"), ("assistant", "b")), row)
    assert len(found.chats) == 1
    (bad,) = found.bad
    assert bad.reason == reason
    assert message in bad.problem.message
    assert fix in bad.problem.fix
    assert (bad.problem.line, bad.problem.field) == (2, "messages")


def test_pairs_without_an_answer(tmp_path):
    found = chats(tmp_path, {"prompt": "a", "completion": None}, {"prompt": "a", "completion": ""})
    assert [bad.problem.message for bad in found.bad] == [
        "the answer has no text",
        "nothing to learn from: the assistant says nothing",
    ]


def test_what_is_cut_before_the_first_answer_teaches_nothing(tmp_path):
    found = chats(
        tmp_path,
        messages(("system", "a b"), ("user", "c d"), ("assistant", "e")),
        messages(("user", "c"), ("assistant", "e f g h i")),
    )

    def count(texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    assert nothing_left(found.chats, count, 5) == []
    assert nothing_left(found.chats, count, 4) == found.chats[:1]


def test_a_file_is_told_whole(tmp_path):
    path = tmp_path / "chats.jsonl"
    rows = [
        messages(("user", "a"), ("assistant", "b"), ("user", "c")),
        {"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        messages(("user", "a")),
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = read([str(path)], tmp_path)
    with pytest.raises(DataError, match="the assistant says nothing"):
        check_chats(tables)
    found = check_chats(tables, skip_bad=True)
    assert (found.read, found.kept) == (3, 2)
    assert [line.strip().partition(": ")[0] for line in found.lines()] == [
        "3 chats read, 2 of them can be used",
        "left out, nothing to learn",
        "ends without an answer",
        "turns",
        "roles",
        "note",
    ]
    assert found.lines()[-1] == "note: roles are read so: human → user, gpt → assistant"


def test_labelled_rows_are_no_chats(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": "b", "messages": "none"}\n')
    (table,) = read([str(path)], tmp_path)
    assert columns_of(table) == ()
    with pytest.raises(DataError, match="holds no chats: it has `text`, `label`, `messages`"):
        read_chats(table)
