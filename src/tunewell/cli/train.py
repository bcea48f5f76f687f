"""`tunewell train`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, Overrides, RecipeFile, SkipBad


def train(
    recipe: RecipeFile,
    /,
    *,
    overrides: Overrides = None,
    name: Annotated[
        str | None, Parameter(help="Name of the run; made from the recipe's file name otherwise.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(help="Check, show the plan and what it will cost; train nothing.")
    ] = False,
    skip_bad: SkipBad = False,
    page: Annotated[
        bool,
        Parameter(name="--watch", help="Show the run in a page too; its server goes on when training ends."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Fine-tune a model as a recipe says, and watch it.

    Example: tunewell train movie_reviews.yaml --set num_epochs=1

    The run lives in the recipe's output_dir, or in runs/NAME. Ctrl-C once saves and stops, twice aborts.
    """
    from tunewell.cli._terminal import say
    from tunewell.document import load_document

    document = load_document(recipe, [*(overrides or ()), *(["data.skip_bad=true"] if skip_bad else [])])
    for note in document.notes:
        say(f"note: {note}")
    if dry_run:
        from tunewell.cli._report import tell_report

        return tell_report(document, recipe, as_json=as_json)
    from tunewell.cli._watch import watch
    from tunewell.cli._where import named
    from tunewell.training import driver

    asked, run = named(document.recipe, recipe, name)
    if not page:
        return watch(driver.train(asked, document.base), run, as_json=as_json)
    from tunewell.cli._dashboard import shown

    return shown(lambda: watch(driver.train(asked, document.base), run, as_json=as_json), run)
