"""A curve drawn with characters: braille dots where the terminal shows them, plain signs elsewhere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from tunewell.runs.curves import Axis, Curve, axis_for, short, smoothed

Dots = npt.NDArray[np.bool_]
"""(rows, columns) what is drawn."""

_LABEL = 8
"""Columns left of the picture, for the numbers of its axis."""
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a braille character's dots, by row and column."""
_WINDOW = 60
"""Points that the smoothed line averages over at most, so that its end follows a run that trains."""


class LossCurve:
    """A loss over steps as large as the room it is given: every loss dim, the smoothed one bright, evaluations as signs.

    Each column shows the lowest and the highest loss in it, so that no spike is lost. A logarithmic axis where the
    losses span decades.
    """

    def __init__(
        self, curve: Curve, evals: Curve, height: int, *, last_step: int = 0, plain: bool = False
    ) -> None:
        self.curve, self.evals, self.height, self.plain = curve.finite, evals.finite, height, plain
        self.last_step = last_step

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> list[Text]:
        """Return the picture, `width` columns wide: its rows, and below them the axis of steps."""
        columns, rows = width - _LABEL - 1, self.height - 1
        if len(self.curve) < 2 or columns < 10 or rows < 2:
            return []
        smooth = smoothed(self.curve, min(_WINDOW, max(5, len(self.curve) // 20)))
        axis = axis_for([self.curve.y, self.evals.y])
        last = max(float(self.curve.x[-1]), float(self.last_step))
        steps = Axis(0.0, max(last, 1.0))
        wide, high = (1, 1) if self.plain else (2, 4)
        raw = _spans(self.curve, steps, axis, columns * wide, rows * high)
        line = _spans(smooth, steps, axis, columns * wide, rows * high)
        signs = _signs(self.evals, steps, axis, columns, rows)
        pictures = [_plain(one) if self.plain else _braille(one) for one in (raw, line)]
        drawn = [
            _row(self.plain, signs.get(row, {}), pictures[0][row], pictures[1][row]) for row in range(rows)
        ]
        return [*_labelled(drawn, axis), _steps(steps, columns)]


def _spans(curve: Curve, steps: Axis, axis: Axis, columns: int, rows: int) -> Dots:
    """Return (rows, columns) dots: in each column all from its lowest to its highest value, and what joins the columns."""
    dots = np.zeros((rows, columns), dtype=bool)
    xs = np.minimum((steps.place(curve.x) * columns).astype(int), columns - 1)
    ys = np.minimum(((1 - axis.place(curve.y)) * rows).astype(int), rows - 1)
    starts = np.flatnonzero(np.diff(xs, prepend=-1))
    ends = np.append(starts[1:], len(xs))
    before: tuple[int, int] | None = None
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        top, bottom = int(ys[start:end].min()), int(ys[start:end].max())
        dots[top : bottom + 1, xs[start]] = True
        if before is not None:
            _join(dots, before, (int(xs[start]), int(ys[start])))
        before = int(xs[start]), int(ys[end - 1])
    return dots


def _join(dots: Dots, first: tuple[int, int], last: tuple[int, int]) -> None:
    (x0, y0), (x1, y1) = first, last
    count = max(abs(x1 - x0), abs(y1 - y0)) + 1
    xs = np.linspace(x0, x1, count).round().astype(int)
    ys = np.linspace(y0, y1, count).round().astype(int)
    dots[ys, xs] = True


def _braille(dots: Dots) -> list[list[int]]:
    """Return the bits of each character, four rows and two columns of dots in one."""
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    blocks = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3)
    found: list[list[int]] = (blocks * _DOTS).sum((2, 3)).tolist()
    return found


def _plain(dots: Dots) -> list[list[int]]:
    return [[int(dot) for dot in row] for row in dots.tolist()]


def _signs(evals: Curve, steps: Axis, axis: Axis, columns: int, rows: int) -> dict[int, dict[int, str]]:
    """Return where an evaluation's sign stands, by row and column."""
    found: dict[int, dict[int, str]] = {}
    for step, loss in zip(evals.x.tolist(), evals.y.tolist(), strict=True):
        column = min(int(steps.place(step) * columns), columns - 1)
        row = min(int((1 - axis.place(loss)) * rows), rows - 1)
        found.setdefault(row, {})[column] = "o"
    return found


def _row(plain: bool, signs: dict[int, str], raw: list[int], line: list[int]) -> Text:
    text = Text(no_wrap=True)
    for column, (behind, before) in enumerate(zip(raw, line, strict=True)):
        if column in signs:
            text.append("o" if plain else "◆", "bold yellow")
        elif before:
            text.append("#" if plain else chr(0x2800 + before), "bold bright_blue")
        elif behind:
            text.append(":" if plain else chr(0x2800 + behind), "dim")
        else:
            text.append(" ")
    return text


def _labelled(rows: list[Text], axis: Axis) -> list[Text]:
    """Return `rows` behind the numbers of the axis, each at the row it belongs to."""
    places = {
        min(int((1 - axis.place(tick)) * len(rows)), len(rows) - 1): tick
        for tick in axis.ticks(max(2, len(rows) // 2))
    }
    labelled = []
    for place, row in enumerate(rows):
        label = short(places[place]) if place in places else ""
        labelled.append(Text.assemble((f"{label:>{_LABEL - 1}} ", "dim"), row, no_wrap=True))
    return labelled


def _steps(steps: Axis, columns: int) -> Text:
    """Return the line below the picture: the first step, some between, the last."""
    line = [" "] * (columns + _LABEL + 1)
    taken = -1
    for tick in steps.ticks(max(2, columns // 10)):
        told = short(math.floor(tick))
        first = _LABEL + int(steps.place(tick) * columns) - len(told) // 2
        first = max(0, min(first, len(line) - len(told)))
        if first > taken:
            line[first : first + len(told)] = told
            taken = first + len(told)
    return Text("".join(line), style="dim", no_wrap=True)


def speaks_unicode(console: Console) -> bool:
    """Tell whether the terminal's encoding has braille dots and the other signs."""
    return console.encoding.lower().replace("-", "").startswith("utf")


_SIGNS = str.maketrans(
    {"●": "*", "▲": "!", "✖": "x", "→": "->", "·": "-", "…": "...", "‖": "=", "■": "#", "✓": "+", "◆": "o", "×": "x", "“": '"',
     "”": '"', "–": "-", "≥": ">=", "≤": "<=", "−": "-"}
)  # fmt: skip


def in_ascii(text: str) -> str:
    """Return `text` in signs that every terminal has."""
    return text.translate(_SIGNS).encode("ascii", "replace").decode()
