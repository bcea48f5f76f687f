"""A learning-rate range test, told and drawn."""

from __future__ import annotations

import importlib.util
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tunewell.cli._codes import DONE
from tunewell.cli._progress import rate
from tunewell.cli._terminal import next_command, say
from tunewell.document import Document
from tunewell.problems import Problem, RunError
from tunewell.runs.disk import in_words

if TYPE_CHECKING:
    from tunewell.training.range_test import RangeTest

WIDTH, HEIGHT = 72, 12
"""Of the chart in a terminal, in characters."""
_FORMATS = {".svg", ".png"}
_TELLS = 10
"""Updates between two lines that tell how far it is."""


def refuse_picture(file: Path) -> None:
    """Raise `RunError` where the picture could not be drawn, before anything is computed for it."""
    if file.suffix.lower() not in _FORMATS:
        what = f"a picture ends in .svg or .png, and `{file.name}` does not"
        raise RunError(Problem("run", what, field="--output", fix="give --output lr.svg"))
    if importlib.util.find_spec("matplotlib") is None:
        fix = "in tunewell's clone: pip install '.[plots]'; or leave it out: --no-picture"
        what = "a picture needs a package that is not installed (matplotlib)"
        raise RunError(Problem("run", what, field="--output", fix=fix))


def tell(
    document: Document,
    file: Path,
    updates: int,
    bounds: tuple[float | None, float | None],
    picture: Path | None,
    *,
    as_json: bool,
) -> int:
    """Make the test of the recipe of `document`, read from `file`, and print what came of it; return the exit code."""
    from tunewell.training.range_test import range_between, range_test
    from tunewell.training.setup import prepare_run

    for note in document.notes:
        say(f"note: {note}")
    between = range_between(document.recipe, *bounds, updates=updates)
    prepared = prepare_run(document.recipe, document.base)
    say(
        f"{updates} updates with a rate that rises from {rate(between[0])} to {rate(between[1])}; nothing is kept …"
    )

    def seen(number: int, value: float, loss: float) -> None:
        if number % _TELLS == 0:
            say(f"update {number:,}/{updates:,}  lr {rate(value)}  loss {loss:.4f}")

    found = range_test(prepared, updates=updates, between=between, seen=seen)
    if picture is not None:
        draw(found, picture)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return DONE
    for line in [*chart(found), *in_sentences(found)]:
        print(line)
    if picture is not None:
        say(f"Drawn in {picture}.")
    suggested = found.suggestion.learning_rate
    if suggested is not None:
        next_command(f"tunewell train {shlex.quote(str(file))} --set learning_rate={rate(suggested)}")
    return DONE


def in_sentences(found: RangeTest) -> list[str]:
    """Return what a test came to, in words."""
    suggestion, asked = found.suggestion, found.asked
    if suggestion.learning_rate is None:
        return [f"no rate can be suggested: {suggestion.reason}."]
    lines = [f"suggested learning_rate: {rate(suggestion.learning_rate)} ({suggestion.reason})"]
    times = asked / suggestion.learning_rate
    if 1 / 3 < times < 3:
        lines.append(f"the recipe's own, {rate(asked)}, is close to that")
    else:
        far = f"{times:.0f} times as high" if times > 1 else f"{1 / times:.0f} times lower"
        lines.append(f"the recipe's own, {rate(asked)}, is {far}")
    return lines


def chart(found: RangeTest) -> list[str]:
    """Return the smoothed loss over the rate as lines of text, the suggested rate marked below."""
    heights = _clipped(found.smoothed)
    low, high = min(heights), max(heights)
    left, right = math.log10(found.rates[0]), math.log10(found.rates[-1])
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]

    def column(value: float) -> int:
        return round((math.log10(value) - left) / max(1e-9, right - left) * (WIDTH - 1))

    for value, height in zip(found.rates, heights, strict=True):
        rows[round((high - height) / max(1e-9, high - low) * (HEIGHT - 1))][column(value)] = "•"
    labels = [f"{high:.3g}", *[""] * (HEIGHT - 2), f"{low:.3g}"]
    margin = max(map(len, labels))
    lines = [f"{label:>{margin}} │{''.join(row).rstrip()}" for label, row in zip(labels, rows, strict=True)]
    axis = ["─"] * WIDTH
    if found.suggestion.learning_rate is not None:
        axis[min(WIDTH - 1, max(0, column(found.suggestion.learning_rate)))] = "▲"
    first, last = rate(found.rates[0]), rate(found.rates[-1])
    lines.append(f"{'':>{margin}} └{''.join(axis)}")
    lines.append(f"{'':>{margin}}  {first}{'learning rate':^{WIDTH - len(first) - len(last)}}{last}")
    return [line.rstrip() for line in lines]


def draw(found: RangeTest, file: Path) -> None:
    """Write the curve as a picture; raises `RunError` where the disk refuses it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "tunewell", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(found.rates, found.losses, ".", color="0.7", markersize=4, label="each update")
        axes.plot(found.rates, found.smoothed, color="tab:blue", label="smoothed")
        suggestion = found.suggestion
        if suggestion.learning_rate is not None:
            suggested = f"suggested: {rate(suggestion.learning_rate)}"
            axes.axvline(suggestion.learning_rate, color="tab:green", label=suggested)
        if suggestion.broken is not None:
            axes.axvline(suggestion.broken, color="tab:red", linestyle="--", label="the loss rises")
        axes.axvline(found.asked, color="0.4", linestyle=":", label=f"the recipe's: {rate(found.asked)}")
        heights = _clipped(found.smoothed)
        room = 0.15 * (max(heights) - min(heights)) + 1e-6
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.set_ylim(min(heights) - room, max(heights) + room)
        axes.legend()
        with in_words("write the picture", file):
            # Without its date a picture of the same test is the same file.
            figure.savefig(file, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)


def _clipped(smoothed: Sequence[float]) -> list[float]:
    """Return the smoothed losses up to a height at which the fall before the break can still be seen."""
    start = smoothed[0]
    top = start + max(2 * (start - min(smoothed)), 0.05 * abs(start))
    return [min(value, top) for value in smoothed]
