"""The report as a page: facts into a template that escapes whatever it shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tunewell import __version__
from tunewell.document import dump_recipe
from tunewell.records import Record
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.runs.incidents import Incident
from tunewell.runs.model_card import use_lines, without_folders
from tunewell.runs.report._chart import sparkline
from tunewell.runs.report._course import flags, main_metric, pictures
from tunewell.runs.report._data import data
from tunewell.runs.report._facts import Facts, gather
from tunewell.runs.report._look import appearance, evidence_curve, incident_title, spent
from tunewell.runs.report._public import public
from tunewell.runs.report._scores import classes, confusion, scored, scores
from tunewell.runs.story import deed_in_words, row_in_words, value_in_words
from tunewell.runs.wording import duration

if TYPE_CHECKING:
    from jinja2 import Environment


def write(run: RunFolder, out: Path | None = None, rows: Callable[[int], str] | None = None) -> Path:
    """Write the report of `run` to `out` (``report.html`` in its folder when None) and return where it is.

    `rows` gives the text of a row by its id. Raises `RunError` where there is no log or the disk refuses.
    """
    page = render(run, rows=rows)
    path = out or run.report
    with in_words("write the report", path):
        write_durably(path, page.encode("utf-8", "replace"))
    return path


def render(
    run: RunFolder, log: Sequence[Record] | None = None, rows: Callable[[int], str] | None = None
) -> str:
    """Return the report of `run` as one page of HTML; `log` are its records, where they have been read."""
    facts = gather(run, log)
    return _environment().get_template("page.html").render(_shown(facts, rows))


def inline(run: RunFolder, log: Sequence[Record]) -> str:
    """Return what a notebook shows of a run: a piece of HTML that leaves the rest of the page alone."""
    from markupsafe import Markup

    facts = gather(run, log)
    numbered, _ = flags(facts)
    drawn = pictures(facts, numbered)[:2]
    shown = {
        "css": Markup(_scoped((Path(__file__).parent / "style.css").read_text("utf-8"))),
        "facts": facts,
        "look": appearance(facts),
        "headline": facts.story.headline.removeprefix(f"{facts.story.run} "),
        "scores": scores(facts),
        "flags": numbered[:8],
        "pictures": [(picture, Markup(picture.svg)) for picture in drawn],
        "incidents": [(one, incident_title(one)) for one in facts.story.incidents[:5]],
    }
    return _environment().get_template("inline.html").render(shown)


def _scoped(css: str) -> str:
    """Return the rules that charts and badges need, for what stands inside ``.tunewell`` alone.

    A notebook's own colours go before the browser's: JupyterLab says by an attribute of its page what it wears.
    """
    light = css[css.index("{") : css.index("}") + 1]
    night = css[css.index("@media (prefers-color-scheme: dark)") :]
    night = night[night.index(":root") + 5 : night.index("}") + 1]
    rules = [
        line
        for line in css[: css.index("@media (max-width")].splitlines()
        if line.startswith(
            (
                ".chart",
                ".swatch",
                ".train",
                ".rate",
                ".legend",
                ".badge",
                ".flag",
                ".mark",
                ".number",
                "figcaption",
            )
        )
    ]
    scoped = [".tunewell " + re.sub(r",\s*(?=\.)", ", .tunewell ", rule) for rule in rules]
    inner = [re.sub(r"\}\s*(?=[.#a-z])", "} .tunewell ", rule) for rule in scoped]
    return "\n".join(
        [
            f".tunewell {light}",
            f"@media (prefers-color-scheme: dark) {{ .tunewell {night} }}",
            f'[data-jp-theme-light="false"] .tunewell {night}',
            f'[data-jp-theme-light="true"] .tunewell {light}',
            *inner,
        ]
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tunewell.runs.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=public,
    )
    environment.filters |= {
        "words": lambda name: str(name).replace("_", " "),
        "sentence": lambda text: text[:1].upper() + text[1:],
        "duration": duration,
        "code": _code,
        "value": value_in_words,
        "thousands": lambda number: f"{number:,}",
        "megabytes": lambda count: f"{count / 1e6:,.1f} MB",
    }
    return environment


def _code(text: str) -> Any:
    """Return `text` as HTML, with what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(public(text)))))


def _shown(facts: Facts, rows: Callable[[int], str] | None) -> Mapping[str, Any]:
    """Return what the template names."""
    from markupsafe import Markup

    numbered, more_flags = flags(facts)
    final = scored(facts)
    class_lines, more_classes = classes(final)
    started = facts.started
    return {
        "css": Markup((Path(__file__).parent / "style.css").read_text("utf-8")),
        "facts": facts,
        "story": facts.story,
        "headline": facts.story.headline.removeprefix(f"{facts.story.run} "),
        "look": appearance(facts),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "begun": _date(started.time) if started is not None and started.time else "",
        "version": __version__,
        "metric": main_metric(facts),
        "scores": scores(facts),
        "final": final,
        "class_lines": class_lines,
        "more_classes": more_classes,
        "confusion": confusion(final),
        "flags": numbered,
        "more_flags": more_flags,
        "pictures": [(picture, Markup(picture.svg)) for picture in pictures(facts, numbered)],
        "incidents": [
            (one, incident_title(one), Markup(sparkline(evidence_curve(one, facts))))
            for one in facts.story.incidents
        ],
        "blamed": lambda incident: [row_in_words(one, rows) for one in incident.blamed[:5]],
        "deeds": _deeds,
        "data": data(facts),
        "spent": spent(facts),
        "recipe_yaml": _recipe(facts),
        "use": use_lines(f"runs/{facts.run.name}", _tag(facts)) if facts.run.model.is_dir() else None,
        "interruptions": facts.story.interruptions,
    }


def _deeds(incident: Incident) -> list[str]:
    """Return what was done, each without its reason where that is what was seen, which stands above."""
    seen = {text.rstrip(".") for text in incident.seen}
    return [
        deed_in_words(msgspec.structs.replace(deed, reason="") if deed.reason.rstrip(".") in seen else deed)
        for deed in incident.deeds
    ]


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _recipe(facts: Facts) -> str:
    return dump_recipe(without_folders(facts.recipe)).strip() if facts.recipe is not None else ""


def _tag(facts: Facts) -> str:
    return facts.recipe.task.replace("_", "-") if facts.recipe is not None else ""
