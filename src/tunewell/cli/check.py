"""`tunewell check`."""

from __future__ import annotations

from tunewell.cli._options import AsJson, Overrides, RecipeFile


def check(
    recipe: RecipeFile,
    /,
    *,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> int:
    """Check a recipe and its data before anything is trained: what becomes of each row, and the plan.

    Example: tunewell check movie_reviews.yaml
    """
    from tunewell.cli._report import tell_report
    from tunewell.cli._terminal import say
    from tunewell.document import load_document

    document = load_document(recipe, overrides or ())
    for note in document.notes:
        say(f"note: {note}")
    return tell_report(document, recipe, as_json=as_json)
