"""The classes of a data set, found or given, and the way from a label value to its class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tunewell.data.example import RawRow
from tunewell.data.spelling import is_huge, is_integer, is_number, kind_of, shortened, spell, unlabelled
from tunewell.data.table import BadRow
from tunewell.problems import Problem, nearest

_SHOWN = 50
_UNLABELLED = "-1"


class Classes:
    """Class names in order, and the class of each label value.

    `values` are the label values of the training rows. Without given `names`, the classes are those found: spellings
    that mean the same are one, labels that differ in case alone are one, numbers stand in their order and words in
    the alphabet's. Among words, numbers are taken for mistakes, and the reverse.
    """

    def __init__(self, values: Iterable[Any], names: Sequence[str] | None, column: str) -> None:
        counts = Counter((type(value), value) for value in values if _single(value))
        self.column = column
        self.given = names is not None
        self.notes: list[str] = []
        self._is_stranger = _no_stranger if self.given else _stranger_test(counts)
        found = Counter[str]()
        for (_, value), count in counts.items():
            label = spell(value)
            if label is not None and not self._is_stranger(value) and not is_huge(label):
                found[label] += count
        self._marks_none = not self.given and _marks_unlabelled(found)
        if self._marks_none:
            del found[_UNLABELLED]
        self.names = list(names) if names is not None else _in_order(_one_case(found))
        self.index = {name: number for number, name in enumerate(self.names)}
        self._folded = {name.casefold(): name for name in reversed(self.names)}
        self._numbered = self.given and self._are_numbers(found)
        self._known: dict[tuple[type, Any], str | None] = {}
        self._note(value for _, value in counts)

    def class_of(self, value: Any, row: RawRow) -> int | BadRow:
        """Return the index of the class that a value of `row` means, or what is wrong with it."""
        if not _single(value):
            what = f"{kind_of(value)} where one label is expected"
            return self._bad(
                row, "label of a wrong type", what, "for several labels a row: problem: multi_label"
            )
        name = self._name_of(value)
        return self._explain(value, row) if name is None else self.index[name]

    def _name_of(self, value: Any) -> str | None:
        key = (type(value), value)
        if key not in self._known:
            self._known[key] = self._find(value)
        return self._known[key]

    def _find(self, value: Any) -> str | None:
        if isinstance(value, str) and value in self.index:
            return value
        label = spell(value)
        if label is None or self._is_stranger(value):
            return None
        if self._numbered and label.isdecimal() and int(label) < len(self.names):
            return self.names[int(label)]
        return label if label in self.index else self._folded.get(label.casefold())

    def _explain(self, value: Any, row: RawRow) -> BadRow:
        label = spell(value)
        if label is None:
            return self._bad(row, "no label", unlabelled(value), "give it one, or delete the row")
        if is_huge(label):
            what = f"{shortened(label)} is too big for a class: is it an id?"
            return self._bad(row, "huge label", what, "set data.label to the column of the classes")
        if self._marks_none and label == _UNLABELLED:
            what = (
                f"the label -1 beside 0 to {len(self.names) - 1} is the usual mark of a row without a label"
            )
            every = ", ".join(f'"{name}"' for name in [_UNLABELLED, *self.names[:_SHOWN]])
            return self._bad(
                row, "no label", what, f"delete the row, or, if it is a class: data.labels: [{every}]"
            )
        if self._is_stranger(value):
            what = (
                f"the {'text' if isinstance(value, str) else 'number'} {value!r} among labels of another type"
            )
            return self._bad(
                row, "label of a wrong type", what, "spell all labels one way, or set data.labels"
            )
        where = "in data.labels" if self.given else "among the training rows' labels"
        guess = nearest(label, self.names)
        fix = f"did you mean `{guess}`?" if guess else f"known: {', '.join(self.names[:10])}"
        return self._bad(row, "unknown label", f"the label `{shortened(label)}` is not {where}", fix)

    def _bad(self, row: RawRow, reason: str, message: str, fix: str) -> BadRow:
        return BadRow(reason, Problem("data", message, row.file, row.line, self.column, fix))

    def _are_numbers(self, found: Counter[str]) -> bool:
        """Tell whether the data says 0, 1 … where the recipe gives the classes' names."""
        numbers = {str(number) for number in range(len(self.names))}
        return bool(found) and found.keys() <= numbers and not found.keys() & self.index.keys()

    def _note(self, values: Iterable[Any]) -> None:
        if self._numbered:
            self.notes.append("labels: the data holds the numbers of the classes that data.labels names")
        spellings = defaultdict(set)
        for value in values:
            name = self._name_of(value)
            if name is not None:
                spellings[name].add(repr(value))
        for name, ways in spellings.items():
            if len(ways) > 1:
                self.notes.append(f"labels: {', '.join(sorted(ways))} are one class, `{name}`")
        mapping = [f"{name} → {number}" for number, name in enumerate(self.names[:_SHOWN])]
        more = [f"and {len(self.names) - _SHOWN} more"] if len(self.names) > _SHOWN else []
        self.notes.append(f"labels: {', '.join(mapping + more)}")


def _marks_unlabelled(found: Counter[str]) -> bool:
    """Tell whether -1 stands among classes that are 0, 1, 2 … without a gap."""
    rest = found.keys() - {_UNLABELLED}
    return _UNLABELLED in found and bool(rest) and rest == {str(number) for number in range(len(rest))}


def _single(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _stranger_test(counts: Counter[tuple[type, Any]]) -> Callable[[Any], bool]:
    """Return what tells the rarer kind of value where words and numbers are mixed."""
    words = sum(count for (_, value), count in counts.items() if _is_word(value))
    numbers = sum(count for (_, value), count in counts.items() if _is_typed_number(value))
    if not words or not numbers:
        return _no_stranger
    return _is_typed_number if words >= numbers else _is_word


def _no_stranger(value: Any) -> bool:
    return False


def _is_typed_number(value: Any) -> bool:
    return isinstance(value, int | float) and spell(value) is not None


def _is_word(value: Any) -> bool:
    label = spell(value)
    return isinstance(value, str) and label is not None and not is_number(label)


def _one_case(found: Counter[str]) -> list[str]:
    """Return the most frequent of the spellings that differ in case alone."""
    best: dict[str, str] = {}
    for label, _ in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        best.setdefault(label.casefold(), label)
    return list(best.values())


def _in_order(names: list[str]) -> list[str]:
    if all(map(is_integer, names)):
        return sorted(names, key=int)
    return sorted(names, key=lambda name: (name.casefold(), name))
