"""Which column is the text, which the label: as the recipe names them, else guessed, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunewell.data.spelling import shortened
from tunewell.data.table import Table
from tunewell.problems import DataError, Problem, nearest
from tunewell.recipe import Data

_TEXTS = [
    "text",
    "sentence",
    "review",
    "content",
    "comment",
    "snippet",
    "document",
    "body",
    "message",
    "tweet",
    "post",
    "title",
    "sms",
    "email",
    "utterance",
    "query",
    "question",
    "input",
    "文本",
    "评论",
    "内容",
    "句子",
]
_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
    ("text", "text_pair"),
)
_LABELS = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "y",
    "score",
    "stars",
    "rating",
    "intent",
    "topic",
    "标签",
    "类别",
    "情感",
]
_IDS = ["id", "idx", "guid", "uid"]
_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns in use; None: there is no such column."""

    text: str
    label: str
    text_pair: str | None = None
    id: str | None = None
    group_by: str | None = None


def choose(tables: Sequence[Table], data: Data) -> tuple[Columns, list[str]]:
    """Return the columns to use and notes on what was guessed; `tables[0]` is looked at for guesses.

    Every table must have the text and label columns. Raises `DataError` with a problem for each missing column,
    its table's columns and the nearest name.
    """
    first, notes = tables[0], []
    taken = {name for name in (data.text, data.text_pair, data.label, data.id, data.group_by) if name}
    text, pair, label, id_ = data.text, data.text_pair, data.label, data.id
    if label is None:
        label, why = _guess_label(first, taken, text or _named(_TEXTS, first, taken))
        taken.add(label)
        notes.append(f"label: column `{label}` ({why})")
    if text is None:
        text, why = _guess_text(first, taken)
        taken.add(text)
        notes.append(f"text: column `{text}` ({why})")
        if pair is None:
            pair = _partner(text, first, taken)
            if pair:
                notes.append(f"text_pair: column `{pair}` (the usual partner of `{text}`)")
    if id_ is None:
        id_ = _named(_IDS, first, taken)
        if id_:
            notes.append(f"id: column `{id_}` (by its name)")
    columns = Columns(text, label, pair, id_, data.group_by)
    problems = [p for table in tables for p in _missing(table, columns, guessed_id=data.id is None)]
    if problems:
        raise DataError(problems)
    return columns, notes


def _missing(table: Table, columns: Columns, guessed_id: bool) -> list[Problem]:
    if not table.columns:  # only bad rows, which tell more
        return []
    wanted = {
        "text": columns.text,
        "text_pair": columns.text_pair,
        "label": columns.label,
        "group_by": columns.group_by,
    }
    if not guessed_id:
        wanted["id"] = columns.id
    problems = []
    for key, name in wanted.items():
        if name is not None and name not in table.columns:
            guess = nearest(name, list(table.columns))
            fix = f"did you mean `{guess}`?" if guess else f"set data.{key} to one of them"
            has = f"it has {_listed(table)}"
            problems.append(
                Problem("data", f"no column `{name}`; {has}", file=table.file, field=f"data.{key}", fix=fix)
            )
    return problems


def _guess_label(table: Table, taken: set[str], text: str | None) -> tuple[str, str]:
    named = _named(_LABELS, table, taken)
    if named:
        return named, "by its name"
    others = [name for name in table.columns if name not in taken and name != text]
    if text and len(others) == 1:
        return others[0], f"the only one beside `{text}`"
    few = {name: _distinct(table, name) for name in others}
    best = min(few, key=lambda name: few[name], default=None)
    if best and len(table) >= 4 and 2 <= few[best] <= max(2, min(len(table), _SAMPLE) // 4):
        return best, f"only {few[best]} different values"
    raise _no_guess("label", table)


def _guess_text(table: Table, taken: set[str]) -> tuple[str, str]:
    for one, other in _PAIRS:
        if one in table.columns and other in table.columns and not {one, other} & taken:
            return one, "by its name"
    named = _named(_TEXTS, table, taken)
    if named:
        return named, "by its name"
    lengths = {name: _mean_length(table, name) for name in table.columns if name not in taken}
    best = max(lengths, key=lambda name: lengths[name], default=None)
    if best and lengths[best] > 0:
        return best, "the longest texts"
    raise _no_guess("text", table)


def _partner(text: str, table: Table, taken: set[str]) -> str | None:
    return next((b for a, b in _PAIRS if a == text and b in table.columns and b not in taken), None)


def _named(known: Sequence[str], table: Table, taken: set[str]) -> str | None:
    folded = {name.strip().casefold(): name for name in reversed(table.columns) if name not in taken}
    return next((folded[name] for name in known if name in folded), None)


def _distinct(table: Table, name: str) -> int:
    return len({str(value) for value in table.columns[name][:_SAMPLE] if value is not None})


def _mean_length(table: Table, name: str) -> float:
    values = [value for value in table.columns[name][:_SAMPLE] if isinstance(value, str)]
    return sum(map(len, values)) / max(1, len(values))


def _no_guess(key: str, table: Table) -> DataError:
    what = f"which column is the {key}? the file has {_listed(table)}"
    fix = f"set data.{key}; the first row of a CSV or TSV file names its columns"
    return DataError(Problem("data", what, file=table.file, field=f"data.{key}", fix=fix))


def _listed(table: Table) -> str:
    return ", ".join(f"`{shortened(name)}`" for name in list(table.columns)[:20])
