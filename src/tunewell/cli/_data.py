"""Data alone, without a recipe: what kind it is, and what a look at it finds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection as Container
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunewell import plugins
from tunewell.cli._codes import DONE
from tunewell.cli._terminal import next_command, say
from tunewell.data import audio, chat, images
from tunewell.data.collection import Collection, files_in
from tunewell.data.read import format_name, read
from tunewell.problems import Problem, RecipeError


def is_data(place: Path) -> bool:
    """Tell whether `place` is data, by its suffix, or a folder; anything else is taken for a recipe."""
    name = str(place)
    prefix, colon, _ = name.partition(":")
    if os.path.isdir(place) or (colon and prefix in plugins.names("data.formats")):
        return True
    known = {*images.SUFFIXES, *audio.SUFFIXES}
    return place.suffix.lower() in known or format_name(name) is not None


def tell_data(
    place: Path,
    overrides: Sequence[str],
    *,
    skip_bad: bool,
    tokenizer: str | None,
    max_length: int,
    as_json: bool,
) -> int:
    """Look at the data in `place` and print what was found; return the exit code. Raises `DataError`."""
    if overrides:
        fix = "make a recipe first: tunewell init"
        raise RecipeError(
            Problem("recipe", "--set changes a recipe, and this is data alone", str(place), fix=fix)
        )
    found = _look(place, skip_bad, tokenizer, max_length)
    if isinstance(found, Collection):
        facts: Any = found
        lines, what = found.lines(), found.kind
    else:
        lines, dataset = found
        facts, what = dataset.ledger, "rows"
    if as_json:
        print(msgspec.json.encode(facts).decode())
        return DONE
    for line in lines:
        print(line)
    say(f"The {what} of {place} can be used.", style="green")
    if what == "rows":
        next_command(f"tunewell init {shlex.quote(str(place))}")
    return DONE


def _look(place: Path, skip_bad: bool, tokenizer: str | None, max_length: int) -> Any:
    """Return a `Collection`, or the lines and the data set of rows."""
    pictures, recordings = (_count(place, suffixes) for suffixes in (images.SUFFIXES, audio.SUFFIXES))
    if pictures and pictures >= recordings:
        return images.check_images(place, skip_bad=skip_bad)
    if recordings:
        return audio.check_audio(place, skip_bad=skip_bad)
    if not os.path.isdir(place):
        tables = read([str(place)], Path(), skip_bad=skip_bad)
        if all(chat.columns_of(table) for table in tables if table.columns):
            count = _counter(tokenizer) if tokenizer is not None else None
            return chat.check_chats(tables, skip_bad=skip_bad, count=count, max_length=max_length)
    from tunewell.cli import _draft

    return _draft.seen(str(place), skip_bad=skip_bad)


def _count(place: Path, suffixes: Container[str]) -> int:
    """Return how many files of these suffixes `place` is or holds."""
    return sum(path.suffix.lower() in suffixes for path in files_in(place, suffixes))


def _counter(name: str) -> chat.Count:
    """Return what counts the tokens of texts with the tokenizer of the model `name`."""
    from tunewell.models.load import load_tokenizer
    from tunewell.models.source import find

    tokenizer = load_tokenizer(find(name))
    return lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
