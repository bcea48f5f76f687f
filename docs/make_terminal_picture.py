"""Draw docs/images/demo.svg: what a terminal shows of a run, from the run's own log.

    .venv/bin/python docs/make_terminal_picture.py [RUN] [--command "make demo"] [--to docs/images/demo.svg] [--why]

The lines are those of the program: the log is replayed through the functions that print a run while it trains
and when it has ended (`--why`: through those of `tunewell why`). Only the live lines at the bottom, which are gone
at the end, are not in the picture.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tunewell.cli._events import event
from tunewell.cli._result import commands, result_lines
from tunewell.runs import log, story
from tunewell.runs.folder import RunFolder
from tunewell.runs.summary import summarize

WIDTH = 100
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="A terminal">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's picture without its fonts from elsewhere: a page that shows it asks nobody for anything."""

Line = tuple[str, str]
"""A line and its style."""


def main() -> None:
    """Draw the picture that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", default="runs/movie_reviews", help="folder of a run that has ended")
    parser.add_argument("--command", default="make demo", help="what was typed to get this")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "images" / "demo.svg")
    parser.add_argument("--why", action="store_true", help="show what `tunewell why` tells of the run")
    asked = parser.parse_args()
    lines = told(asked.run) if asked.why else seen(asked.run)
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    asked.to.write_text(picture([(f"$ {asked.command}", "bold"), *lines], asked.command), encoding="utf-8")
    print(f"{asked.to}: {len(lines)} lines")


def seen(run: str) -> list[Line]:
    """Return what `tunewell train` printed of `run`, from its first event to the commands that come next."""
    folder = RunFolder(Path(run))
    records = list(log.read(folder.log))
    events = [line for record in records if (line := event(record)) is not None]
    summary, why, model = summarize(folder.path), story.why(records), folder.model.is_dir()
    result = [(line, "") for line in result_lines(summary, why, model=model)]
    following = [(f"next: {command}", "green") for command in commands(summary, why, run, model=model)]
    return [*events, ("", ""), *result, *following]


def told(run: str) -> list[Line]:
    """Return what `tunewell why` tells of `run`."""
    text = story.as_text(story.why(list(log.read(RunFolder(Path(run)).log))))
    return [(line, "") for line in text.splitlines()]


def picture(lines: list[Line], title: str) -> str:
    """Return the SVG of `lines` in a terminal of `WIDTH` columns."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line, style in lines:
        console.print(Text(line, style=style, overflow="fold"), highlight=False)
    drawn = console.export_svg(title=title, code_format=SVG, unique_id="terminal")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


if __name__ == "__main__":
    main()
