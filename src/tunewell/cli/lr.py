"""`tunewell lr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, Overrides, RecipeFile, SkipBad


def lr(
    recipe: RecipeFile,
    /,
    *,
    overrides: Overrides = None,
    output: Annotated[Path, Parameter(help="The picture: a file ending in .svg or .png.")] = Path("lr.svg"),
    no_picture: Annotated[bool, Parameter(help="Write no picture, which needs the extra `plots`.")] = False,
    updates: Annotated[int, Parameter(help="Updates from the lowest rate to the highest.")] = 100,
    lowest: Annotated[float | None, Parameter(help="First rate; 1e-6, or 1e-4 for sgd, when absent.")] = None,
    highest: Annotated[float | None, Parameter(help="Last rate; 0.3, or 10 for sgd, when absent.")] = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> int:
    """Suggest a learning rate: the range test, some updates with a rising rate on a copy that is thrown away.

    Example: tunewell lr movie_reviews.yaml
    """
    from tunewell.cli import _lr
    from tunewell.document import load_document

    if not no_picture:
        _lr.refuse_picture(output)
    document = load_document(recipe, [*(overrides or ()), *(["data.skip_bad=true"] if skip_bad else [])])
    picture = None if no_picture else output
    return _lr.tell(document, recipe, updates, (lowest, highest), picture, as_json=as_json)
