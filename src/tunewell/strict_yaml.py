"""YAML as plain values, each with its line: the small safe part of YAML 1.1 that a recipe needs.

Built on the parser's events, so that an alias is refused before it is expanded and a tag before it is obeyed.
Plain words become numbers as people write them (``1e-5`` is one); what YAML 1.1 would twist (``012``) is
refused, and the words it takes for booleans (``no``) are remembered so that the reader can ask for quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from tunewell.problems import Problem

MAX_LENGTH = 1_000_000
MAX_DEPTH = 16

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document to a value."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)\Z")
_OCTAL = re.compile(r"[-+]?0[0-9_]+\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_NUMBER = 40
_LONGEST_TOLD = 500


@dataclass
class Tree:
    """A document: its value, and for each path the place it came from."""

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """Line (from 1) of each key and list item."""
    sources: dict[Path, str] = field(default_factory=dict)
    """The unquoted words as written."""
    files: dict[Path, str] = field(default_factory=dict)
    """Where values came from that are not in `file`."""
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    """Paths that `problems` already speaks of."""

    def refuse(self, path: Path, message: str, fix: str, line: int | None = None) -> None:
        """Note a problem at `path`, and that no more need be said about it."""
        file, known_line = self.place(path)
        message, field, fix = (_clipped(text) for text in (message, dotted(path), fix))
        self.problems.append(Problem("recipe", message, file, line or known_line, field, fix))
        self.broken.add(path)

    def place(self, path: Path) -> tuple[str, int | None]:
        """Return the file and line of `path`, or of the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.files:
                return self.files[path[:end]], None
            if end and path[:end] in self.lines:
                return self.file, self.lines[path[:end]]
        return self.file, None

    def get(self, path: Path) -> Any:
        """Return the value at `path`, or None."""
        value = self.value
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def path(self, key: str) -> Path:
        """Return the path that the dotted `key` names here: ``stages.0.train`` counts where there is a list."""
        path: Path = ()
        for part in key.split("."):
            counts = isinstance(self.get(path), list) and part.isdecimal()
            path = (*path, int(part) if counts else part)
        return path

    def graft(self, path: Path, branch: Tree) -> bool:
        """Put the value and places of `branch` at `path`, making mappings on the way; False: there is no room."""
        holder: Any = self.value
        for part, following in pairwise(path):
            if isinstance(holder, dict) and holder.get(part) is None:
                if str(following).isdecimal():
                    return False  # meant for a list that is not there
                holder[part] = {}
            elif not isinstance(holder, dict) and not _has(holder, part):
                return False
            holder = holder[part]
        if not isinstance(holder, dict) and not _has(holder, path[-1]):
            return False
        holder[path[-1]] = branch.value
        self._drop_places(path)
        self.lines.update({path + below: line for below, line in branch.lines.items()})
        self.sources.update({path + below: word for below, word in branch.sources.items()})
        if branch.file != self.file:
            self.files[path] = branch.file
        return True

    def cut(self, path: Path) -> Tree:
        """Take the value at the key `path` out, with its places."""
        size = len(path)
        branch = Tree(self.file, self.get(path[:-1]).pop(path[-1]))
        branch.lines = {key[size:]: line for key, line in self.lines.items() if key[:size] == path}
        branch.sources = {key[size:]: word for key, word in self.sources.items() if key[:size] == path}
        self._drop_places(path)
        return branch

    def _drop_places(self, path: Path) -> None:
        for places in (self.lines, self.sources, self.files):
            for key in [key for key in places if key[: len(path)] == path]:
                del places[key]


def _clipped(text: str) -> str:
    """Return `text` short enough to be read, whatever the document holds."""
    return text if len(text) <= _LONGEST_TOLD else f"{text[: _LONGEST_TOLD - 1]}…"


def _has(holder: Any, position: str | int) -> bool:
    return isinstance(holder, list) and isinstance(position, int) and position < len(holder)


def dotted(path: Path) -> str:
    """Return `path` as a user writes it: ``stages.0.learning_rate``."""
    return ".".join(map(str, path))


def plain(word: str) -> Any:
    """Return what the unquoted `word` means: None, a bool, a number, or the word itself."""
    if word in _NULL:
        return None
    lower = word.lower()
    if lower in _TRUE or lower in _FALSE:
        return lower in _TRUE
    if len(word) <= _LONGEST_NUMBER:
        if _INTEGER.match(word):
            return int(word)
        if _FLOAT.match(word) and not _OCTAL.match(word):
            return float(word)
    return _SPECIAL.get(lower, word)


def is_twisted(word: str) -> bool:
    """Tell whether YAML readers differ about the unquoted `word`, as about ``012`` (10 or 12)."""
    return bool(_OCTAL.match(word))


def parse(text: str, file: str) -> Tree:
    """Return the document in `text`; what is wrong with it stands in the tree's `problems`."""
    tree = Tree(file)
    if len(text) > MAX_LENGTH:
        tree.refuse((), f"the document is longer than {MAX_LENGTH:,} characters", "keep only the settings")
        return tree
    if bad := _NOT_YAML.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        tree.refuse(
            (), f"the character U+{ord(bad.group()):04X} is not allowed", "remove it from the file", line
        )
        return tree
    events = yaml.parse(text, Loader=_LOADER)
    try:
        _document(tree, events)
    except _TooDeepError as error:
        tree.refuse(
            (), f"nested deeper than {MAX_DEPTH} levels", "a recipe needs no more than four", error.line
        )
    except yaml.MarkedYAMLError as error:
        _refuse_syntax(tree, text, error)
    return tree


class _TooDeepError(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


def _document(tree: Tree, events: Iterator[yaml.Event]) -> None:
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                tree.refuse((), "a second document begins here", "keep one document in a file", _line(event))
                return
            tree.value = _value(tree, next(events), events, ())


def _value(tree: Tree, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Any:
    line = _line(event)
    tree.lines.setdefault(path, line)
    if len(path) > MAX_DEPTH:
        raise _TooDeepError(line)
    if isinstance(event, yaml.AliasEvent):
        tree.refuse(path, f"the alias `*{event.anchor}` is not allowed", "write the value out")
        return None
    assert isinstance(event, yaml.NodeEvent)
    if event.anchor is not None:
        tree.refuse(path, f"the anchor `&{event.anchor}` is not allowed", "remove it and write values out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        tag = tag.replace("tag:yaml.org,2002:", "!!")
        tree.refuse(path, f"the tag `{tag}` is not allowed", "remove it; put text in quotes")
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(tree, events, path)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(tree, events, path)
    assert isinstance(event, yaml.ScalarEvent)
    return _scalar(tree, event, path)


def _scalar(tree: Tree, event: yaml.ScalarEvent, path: Path) -> Any:
    word: str = event.value
    if event.style is not None and event.style != "":
        return word
    tree.sources[path] = word
    if is_twisted(word):
        number = word.lstrip("+-0_").replace("_", "") or "0"
        fix = f'write {number} for the number, or "{word}" in quotes for the text'
        tree.refuse(path, f"`{word}` begins with 0, so YAML may read it as another number", fix)
    return plain(word)


def _sequence(tree: Tree, events: Iterator[yaml.Event], path: Path) -> list[Any]:
    items: list[Any] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        items.append(_value(tree, event, events, (*path, len(items))))
    return items


def _mapping(tree: Tree, events: Iterator[yaml.Event], path: Path) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        line = _line(event)
        if not isinstance(event, yaml.ScalarEvent):
            tree.refuse(path, "a key must be a plain word", "write `key: value`", line)
            _value(Tree(tree.file), event, events, path)
            _value(Tree(tree.file), next(events), events, path)
            continue
        key = event.value  # as written: `no` and `1` are good names of classes
        here = (*path, key)
        if key in items:
            first = tree.lines[here]
            message = f"`{dotted(here)}` is given twice, first in line {first}"
            tree.refuse(here, message, "keep one of the two lines", line)
            _value(Tree(tree.file), next(events), events, here)
            continue
        tree.lines[here] = line
        items[key] = _value(tree, next(events), events, here)
    return items


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return int(event.start_mark.line) + 1


def _refuse_syntax(tree: Tree, text: str, error: yaml.MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    number = mark.line if mark is not None else 0
    rows = text.splitlines()
    row = rows[number] if number < len(rows) else ""
    indent = row[: len(row) - len(row.lstrip())]
    if "\t" in indent:
        tree.refuse(
            (), "the line is indented with a tab", "indent with spaces: YAML forbids tabs here", number + 1
        )
        return
    what = error.problem or "it can't be read"
    opened = error.context_mark.line + 1 if error.context_mark is not None else number + 1
    since = f" (begun in line {opened})" if opened != number + 1 else ""
    tree.refuse((), f"this is not YAML: {what}{since}", _syntax_fix(row, what), number + 1)


def _syntax_fix(row: str, what: str) -> str:
    if "cannot start any token" in what:
        return "put a text that begins with a special character such as @, % or ` in quotes"
    if "mapping values are not allowed" in what:
        return 'put a text that holds ": " in quotes, and give each key its own line'
    if row.count('"') % 2 or row.count("'") % 2:
        return "close the quotes"
    return "check indentation, colons, quotes and brackets here and in the line above"
