"""A first recipe for data that was looked at: columns, kind of problem, splits and lengths that fit it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tunewell import plugins
from tunewell.data.prepare import Dataset, prepare
from tunewell.data.read import read
from tunewell.document import dump_value
from tunewell.problems import DataError, Problem
from tunewell.recipe import Data, Recipe

_LENGTHS = (128, 256)
_MOST_LABELS = 20
_ROWS_FOR_VALIDATION, _ROWS_FOR_TEST = 40, 200
_OTHER_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class _Files:
    """Data files by split."""

    train: str
    validation: str | None
    test: str | None


def draft(data: str, folder: Path) -> tuple[list[str], str]:
    """Return lines on what was seen in `data`, and the text of a recipe for it that will stand in `folder`.

    Raises `DataError` when no recipe could make this data usable.
    """
    dataset, recipe, files = _look(data, skip_bad=True)
    return _seen(dataset, files), _text(dataset, recipe, files, folder)


def seen(data: str, *, skip_bad: bool) -> tuple[list[str], Dataset]:
    """Return lines on what was seen in `data`, and its rows; raises `DataError` for bad ones unless `skip_bad`."""
    dataset, _, files = _look(data, skip_bad=skip_bad)
    return _seen(dataset, files), dataset


def _look(data: str, *, skip_bad: bool) -> tuple[Dataset, Recipe, _Files]:
    """Prepare `data` as a recipe of defaults would, and return its rows, that recipe and the files of its splits."""
    files = _find(data)
    rows = sum(len(table) for table in read([files.train], Path(), skip_bad=skip_bad))
    recipe = Recipe(
        data=Data(
            train=[files.train],
            validation=[files.validation]
            if files.validation
            else (0.1 if rows >= _ROWS_FOR_VALIDATION else None),
            test=[files.test] if files.test else (0.1 if rows >= _ROWS_FOR_TEST else None),
            leakage="allow",
            skip_bad=skip_bad,
        )
    )
    return prepare(recipe, Path()), recipe, files


def _find(data: str) -> _Files:
    """Find the files of all splits: those of a folder, or those that stand beside a file named ``train``."""
    path = Path(data)
    if os.path.isdir(path):
        trains = sorted(p for p in path.iterdir() if p.is_file() and "train" in p.name.lower())
        if len(trains) != 1:
            inside = ", ".join(sorted(p.name for p in path.iterdir() if p.is_file())[:8]) or "no files"
            message = f"which file holds the training rows? the folder has {inside}"
            raise DataError(Problem("data", message, data, fix="name the file: tunewell init FOLDER/FILE"))
        path = trains[0]
    if "train" not in path.name:
        return _Files(str(path) if os.path.isdir(data) else data, None, None)
    beside: dict[str, str | None] = dict.fromkeys(_OTHER_NAMES)
    for split, names in _OTHER_NAMES.items():
        for name in names:
            other = path.with_name(path.name.replace("train", name))
            if beside[split] is None and other.is_file():
                beside[split] = str(other)
    return _Files(str(path), **beside)


def _seen(dataset: Dataset, files: _Files) -> list[str]:
    found = [
        f"{split} rows: {name}, found beside"
        for split, name in vars(files).items()
        if name and split != "train"
    ]
    return found + dataset.ledger.lines()


def _text(dataset: Dataset, recipe: Recipe, files: _Files, folder: Path) -> str:
    ledger, columns = dataset.ledger, dataset.columns
    kept = ledger.splits["train"].kept
    lines = [
        f"# {ledger.rows_read:,} rows read, {kept:,} to train on. Drafted by `tunewell init`.",
        "# All keys, their defaults and meanings: tunewell schema",
        "",
        "data:",
        f"  train: {_path(files.train, folder)}",
        _split_line("validation", files.validation, recipe, folder, "to choose the best model by"),
        _split_line("test", files.test, recipe, folder, "for the final score"),
        f"  text: {dump_value(columns.text)}",
    ]
    if columns.text_pair:
        lines.append(f"  text_pair: {dump_value(columns.text_pair)}")
    lines.append(f"  label: {dump_value(columns.label)}")
    if 0 < len(dataset.labels) <= _MOST_LABELS:
        lines.append(f"  labels: {dump_value(dataset.labels)}{_balance(dataset)}")
    lines += [*_length_lines(dataset), *_fault_lines(dataset)]
    lines += ["", *_model_lines(dataset), "", *_training_lines(dataset, kept)]
    return "\n".join(lines) + "\n"


def _path(name: str, folder: Path) -> str:
    """Return `name` as the recipe says it: relative to the recipe's folder."""
    is_named = name.partition(":")[0] in plugins.names("data.formats") and ":" in name
    if is_named or Path(name).is_absolute():
        return dump_value(name)
    return dump_value(Path(os.path.relpath(name, folder)).as_posix())


def _split_line(split: str, file: str | None, recipe: Recipe, folder: Path, purpose: str) -> str:
    if file is not None:
        return f"  {split}: {_path(file, folder)}"
    share = getattr(recipe.data, split)
    if share is None:
        return f"  {split}: null  # too few rows to hold any out {purpose}; a file of its own is better"
    return f"  {split}: {share}  # share of the training rows held out {purpose}"


def _balance(dataset: Dataset) -> str:
    counts = dataset.ledger.splits["train"].balance
    return "  # " + ", ".join(f"{count:,}" for count in counts.values()) + " rows" if counts else ""


def _length_lines(dataset: Dataset) -> list[str]:
    """Choose a length in tokens from the lengths in characters, before any tokenizer is there."""
    characters = dataset.ledger.splits["train"].characters
    per_token = 1.0 if _is_foreign(dataset) else 4.0
    longest = characters.p95 / per_token + 2
    length = next((length for length in _LENGTHS if length >= longest), _LENGTHS[-1])
    about = f"tokens; 95 % of the texts have up to about {longest:,.0f}"
    lines = [f"  max_length: {length}  # {about}"]
    if longest > length:
        lines.append(
            "  truncation: head_tail  # of a longer text keep a third from its head, the rest from its tail"
        )
    return lines


def _fault_lines(dataset: Dataset) -> list[str]:
    """Say what the data needs: rows to skip, leaks to drop."""
    ledger = dataset.ledger
    lines = []
    dropped = sum(found.count for split in ledger.splits.values() for found in split.dropped.values())
    if dropped:
        lines.append(
            f"  skip_bad: true  # {dropped:,} bad rows are left out; remove this to see each of them"
        )
    leaked = sum(found.count for pair, found in ledger.leakage.items() if pair.startswith("train/"))
    if leaked:
        lines.append(f"  leakage: drop  # {leaked:,} training rows stand in validation or test too")
    if any("<br" in example.text for example in dataset.splits["train"][:200]):
        lines.append("  clean: [strip_html]  # the texts hold HTML")
    return lines


def _model_lines(dataset: Dataset) -> list[str]:
    known = plugins.names("models.packaged")
    other = next((name for name in known if "multilingual" in name), None)
    if not _is_foreign(dataset):
        line = "model: minilm  # small English encoder; or a folder, or a name on the hub"
    elif other is not None:
        line = f"model: {other.replace('_', '-')}  # the texts are not English"
    else:
        line = "model: minilm  # an English encoder: for these texts give a folder or the hub name of a multilingual one"
    return [line, f"problem: {dataset.problem}"]


def _training_lines(dataset: Dataset, kept: int) -> list[str]:
    lines = [
        "num_epochs: 3" if kept >= 1000 else "num_epochs: 10  # few rows take more passes",
        f"batch_size: {min(32, max(1, kept // 4))}",
        "learning_rate: 1e-4",
        "policy: cautious  # acts on a finding only where waiting would lose the run; or observe",
    ]
    counts = dataset.ledger.splits["train"].balance.values()
    if dataset.problem == "single_label" and min(counts) * 5 < max(counts):
        times = max(counts) / max(1, min(counts))
        lines.append(
            f"class_weights: balanced  # the largest class has {times:,.0f} times the rows of the smallest"
        )
    return lines


def _is_foreign(dataset: Dataset) -> bool:
    """Tell whether most letters are not Latin ones."""
    letters = [
        letter
        for example in dataset.splits["train"][:200]
        for letter in example.text[:500]
        if letter.isalpha()
    ]
    return sum(letter > "\u024f" for letter in letters) * 2 > len(letters)
