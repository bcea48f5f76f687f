"""Conversations in the usual spellings, as turns of known roles in a right order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewell.data.collection import Collection, collection
from tunewell.data.ledger import spread
from tunewell.data.spelling import kind_of, shortened, unusable_in
from tunewell.data.table import BadRow, Table
from tunewell.problems import DataError, Problem, nearest

ROLES = ("system", "user", "assistant", "tool")
_MEANING = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "observation": "tool",
}
"""Role names of the usual data sets, and the role that each means."""
_FOLLOWING = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""The roles that may come after one; None: at the start."""
_LISTS = ("messages", "conversations", "conversation")
_PAIRS = (
    ("prompt", "completion"),
    ("instruction", "output"),
    ("prompt", "response"),
    ("instruction", "response"),
)

Count = Callable[[list[str]], list[int]]
"""Tells how many tokens each of some texts has."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; a call of a tool may have no text."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation; `row` counts from 0 in its file, `place` is ``file:line``."""

    row: int
    place: str
    turns: list[Turn]

    def before_answer(self) -> list[str]:
        """Return the texts that stand before the first one to learn from."""
        first = next(i for i, turn in enumerate(self.turns) if turn.role == "assistant" and turn.text.strip())
        return [turn.text for turn in self.turns[:first]]


@dataclass(frozen=True, slots=True)
class Chats:
    """The conversations of a file, the rows that are none, and role names of other spellings by their meaning."""

    chats: list[Chat] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)


def columns_of(table: Table) -> tuple[str, ...]:
    """Return the columns that hold conversations: one of lists, or a pair of texts; empty: there are none."""
    for name in _LISTS:
        first = next((value for value in table.columns.get(name, ()) if value is not None), None)
        if isinstance(first, list) or (name in table.columns and len(table.columns) == 1):
            return (name,)
    return next((pair for pair in _PAIRS if set(pair) <= table.columns.keys()), ())


def read_chats(table: Table) -> Chats:
    """Return the conversations of `table`: `messages` (role, content), `conversations` (from, value), or pairs of texts.

    A row is bad when a role is unknown or out of order, a turn has no text, or nothing the assistant says can be
    learned from. Raises `DataError` when no column holds conversations.
    """
    columns = columns_of(table)
    if not columns:
        has = ", ".join(f"`{name}`" for name in list(table.columns)[:20])
        fix = "name a column `messages`, or two columns `prompt` and `completion`"
        raise DataError(Problem("data", f"the file holds no chats: it has {has}", table.file, fix=fix))
    found = Chats(bad=list(table.bad))
    for row, line in enumerate(table.lines):
        values = {name: column[row] for name, column in table.columns.items()}
        try:
            turns = _turns(values, columns, found.roles)
            _refuse_disorder(turns)
        except _BadChatError as fault:
            problem = Problem("data", fault.message, table.file, line, columns[0], fault.fix)
            found.bad.append(BadRow(fault.reason, problem))
        else:
            found.chats.append(Chat(row, f"{table.file}:{line}", turns))
    return found


def nothing_left(chats: Sequence[Chat], count: Count, max_length: int) -> list[Chat]:
    """Return the chats of which `max_length` tokens from the head hold no text to learn from.

    A template adds tokens of its own, so that those named here are lost for certain.
    """
    return [chat for chat in chats if sum(count(chat.before_answer())) >= max_length]


def check_chats(
    tables: Sequence[Table], *, skip_bad: bool = False, count: Count | None = None, max_length: int = 0
) -> Collection:
    """Look at the conversations of `tables`, and, with `count`, at what is left of them in `max_length` tokens.

    Raises `DataError` with up to 20 bad rows, unless `skip_bad` leaves them out.
    """
    read = [read_chats(table) for table in tables]
    bad = [row for found in read for row in found.bad]
    chats = [chat for found in read for chat in found.chats]
    if count is not None:
        lost = nothing_left(chats, count, max_length)
        bad += [_cut_off(chat, max_length) for chat in lost]
        gone = {chat.place for chat in lost}
        chats = [chat for chat in chats if chat.place not in gone]
    changes = [
        ("ends without an answer: its last turns teach nothing", chat.place)
        for chat in chats
        if chat.turns[-1].role != "assistant"
    ]
    names = [chat.place for chat in chats] + [f"{row.problem.file}:{row.problem.line}" for row in bad]
    return collection("chats", names, bad, changes, _facts(chats, read), skip_bad=skip_bad)


def _facts(chats: Sequence[Chat], read: Sequence[Chats]) -> list[str]:
    said = Counter(turn.role for chat in chats for turn in chat.turns)
    facts = [f"turns: {spread([len(chat.turns) for chat in chats])}"] if chats else []
    if said:
        facts.append("roles: " + ", ".join(f"{role} {said[role]:,}" for role in ROLES if said[role]))
    roles = {name: role for found in read for name, role in found.roles.items()}
    if roles:
        facts.append("note: roles are read so: " + ", ".join(f"{n} → {r}" for n, r in roles.items()))
    return facts


class _BadChatError(Exception):
    """What is wrong with one row."""

    def __init__(self, reason: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.reason, self.message, self.fix = reason, message, fix


def _cut_off(chat: Chat, max_length: int) -> BadRow:
    file, _, line = chat.place.rpartition(":")
    what = f"nothing is left to learn from: the first answer begins after the {max_length:,} tokens kept"
    return BadRow(
        "nothing to learn when cut",
        Problem("data", what, file, int(line), fix="allow more tokens, or shorten it"),
    )


def _turns(values: Mapping[str, Any], columns: tuple[str, ...], roles: dict[str, str]) -> list[Turn]:
    if len(columns) == 1:
        return _listed(values[columns[0]], roles)
    asked, answered = (values[name] for name in columns)
    if isinstance(asked, list) or isinstance(answered, list):
        both = [
            part if isinstance(part, list) else [{"role": role, "content": part}]
            for role, part in (("user", asked), ("assistant", answered))
        ]
        return _listed([*both[0], *both[1]], roles)
    if columns[0] == "instruction" and isinstance(values.get("input"), str) and values["input"].strip():
        asked = f"{asked}\n\n{values['input']}"
    return [Turn("user", _text(asked, "the prompt")), Turn("assistant", _text(answered, "the answer"))]


def _listed(messages: Any, roles: dict[str, str]) -> list[Turn]:
    if not isinstance(messages, list):
        fix = 'write [{"role": "user", "content": …}, {"role": "assistant", "content": …}]'
        raise _BadChatError("no turns", f"{kind_of(messages)} where a list of turns is expected", fix)
    return [_turn(number, message, roles) for number, message in enumerate(messages, 1)]


def _turn(number: int, message: Any, roles: dict[str, str]) -> Turn:
    if not isinstance(message, dict):
        what = f"turn {number} is {kind_of(message)}, not an object with a role and a content"
        raise _BadChatError("no turns", what, 'write {"role": "user", "content": …}')
    name = message.get("role", message.get("from"))
    if name is None:
        raise _BadChatError(
            "unknown role", f"turn {number} has no role", f"give it one of {', '.join(ROLES)}"
        )
    role = _MEANING.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        guess = nearest(str(name).lower(), [*ROLES, *_MEANING])
        fix = f"did you mean `{guess}`?" if guess else f"known roles: {', '.join(ROLES)}"
        raise _BadChatError("unknown role", f"turn {number} has the unknown role `{shortened(name)}`", fix)
    if role != name:
        roles[str(name)] = role
    content = message.get("content", message.get("value"))
    calls_tool = role == "assistant" and (message.get("tool_calls") or message.get("function_call"))
    if content is None and calls_tool:
        return Turn(role, "")
    return Turn(role, _text(content, f"turn {number} (`{name}`)"))


def _text(content: Any, whose: str) -> str:
    if isinstance(content, list):  # parts, of which those that are texts count
        parts = [part.get("text") for part in content if isinstance(part, dict) and "text" in part]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        raise _BadChatError("turn without a text", f"{whose} has no text", "give it one, or delete the row")
    if not isinstance(content, str):
        raise _BadChatError(
            "turn without a text", f"{whose} is {kind_of(content)}, not a text", "write it in quotes"
        )
    if unusable := unusable_in(content):
        raise _BadChatError("unusable text", f"{whose} holds {unusable}", "mend it, or delete the row")
    return content


def _refuse_disorder(turns: Sequence[Turn]) -> None:
    """Raise for turns whose order no model is taught in, and for a chat that teaches nothing."""
    if not turns:
        raise _BadChatError("no turns", "the list of turns is empty", "give it turns, or delete the row")
    before: str | None = None
    for number, turn in enumerate(turns, 1):
        allowed = _FOLLOWING[before]
        if turn.role not in allowed:
            after = f" after `{before}`" if before else " at the start"
            what = f"turn {number} is `{turn.role}`{after}"
            mend = "join them" if turn.role == before else "mend the order"
            fix = f"allowed there: {', '.join(allowed)}; {mend}, or delete the row"
            raise _BadChatError("roles in a wrong order", what, fix)
        before = turn.role
    if not any(turn.role == "assistant" and turn.text.strip() for turn in turns):
        what = "nothing to learn from: the assistant says nothing"
        raise _BadChatError("nothing to learn", what, "add an answer, or delete the row")
    for number, turn in enumerate(turns, 1):
        if turn.role in ("user", "system") and not turn.text.strip():
            what = f"turn {number} (`{turn.role}`) is empty"
            raise _BadChatError("turn without a text", what, "give it a text, or delete the row")
