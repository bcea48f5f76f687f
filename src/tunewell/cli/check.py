"""`tunewell check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, Overrides, SkipBad


def check(
    recipe_or_data: Annotated[
        Path,
        Parameter(
            help="A recipe (YAML); or data alone: a file of rows or chats, a folder of images or recordings."
        ),
    ],
    /,
    *,
    overrides: Overrides = None,
    skip_bad: SkipBad = False,
    tokenizer: Annotated[
        str | None, Parameter(help="For chats: model whose tokens tell what is left when they are cut.")
    ] = None,
    max_length: Annotated[int, Parameter(help="For chats: tokens that are kept of each.")] = 1024,
    quick: Annotated[
        bool, Parameter(help="Without the dry step that tells time, memory and disk: no weights are loaded.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check a recipe and its data, or data alone, before anything is trained: what becomes of each row, and the plan.

    Example: tunewell check movie_reviews.yaml

    Data alone: tunewell check reviews.csv, tunewell check photos/
    """
    from tunewell.cli._data import is_data, tell_data

    if is_data(recipe_or_data):
        return tell_data(
            recipe_or_data,
            overrides or (),
            skip_bad=skip_bad,
            tokenizer=tokenizer,
            max_length=max_length,
            as_json=as_json,
        )
    from tunewell.cli._report import tell_report
    from tunewell.cli._terminal import say
    from tunewell.document import load_document

    changes = [*(overrides or ()), *(["data.skip_bad=true"] if skip_bad else [])]
    document = load_document(recipe_or_data, changes)
    for note in document.notes:
        say(f"note: {note}")
    return tell_report(document, recipe_or_data, as_json=as_json, quick=quick)
