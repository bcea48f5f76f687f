"""Charts as inline SVG: drawn with the page's own colours, without scripts, with a text in place of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape as escaped
from typing import Literal

import msgspec

from tunewell.runs.curves import Axis, Curve, axis_for, short, thinned
from tunewell.runs.report._public import public

WIDTH, HEIGHT = 860, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 30, 30
_BUCKETS = 600
_MARK = 17
"""Least distance of two numbered flags in a row, in the picture's own points."""
_ROWS = 2


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart; `role` is the class that colours it."""

    name: str
    curve: Curve
    role: Literal["train", "validation", "test", "rate", "bound", "undone"]
    style: Literal["raw", "line", "points"] = "line"
    spread: Sequence[tuple[float, float]] = ()
    """Of points: from where to where each may lie."""


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at `step`: a line through the charts, with a number that the list below explains."""

    step: int
    number: int
    level: str
    """critical, warning, info, action or rewind."""
    text: str


def chart(
    title: str,
    lines: Sequence[Line],
    flags: Sequence[Flag] = (),
    *,
    steps: tuple[float, float],
    log: bool | None = None,
    height: int = HEIGHT,
    bad: Sequence[float] = (),
) -> str:
    """Return a chart over the steps from `steps[0]` to `steps[1]`; empty where no line has a point.

    `bad` are steps whose value was not a finite number: crosses at the upper edge.
    """
    shown = [line for line in lines if len(line.curve.finite)]
    if not shown:
        return ""
    spreads = [value for line in shown for pair in line.spread for value in pair]
    y_axis = axis_for([*(line.curve.y for line in shown), spreads], log=log)
    x_axis = Axis(steps[0], steps[1] if steps[1] > steps[0] else steps[0] + 1)
    box = _Box(x_axis, y_axis, height)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_shown(_in_words(title, shown, flags))}">',
        *_grid(box),
        *(_flag_line(box, flag) for flag in flags),
        *(_drawn(box, line) for line in shown),
        *_crosses(box, bad),
        *_flag_marks(box, flags),
        "</svg>",
    ]
    return "".join(parts)


def sparkline(curve: Curve, width: int = 150, height: int = 34) -> str:
    """Return a small picture of a curve without axes; empty for fewer than two points."""
    curve = thinned(curve, 60)
    if len(curve) < 2:
        return ""
    x_axis, y_axis = Axis(curve.x[0], max(curve.x[-1], curve.x[0] + 1)), axis_for([curve.y])
    xs = 2 + x_axis.place(curve.x) * (width - 4)
    ys = height - 3 - y_axis.place(curve.y) * (height - 6)
    points = _path(xs.tolist(), ys.tolist())
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'<path class="train line" d="{points}"/></svg>'
    )


class _Box(msgspec.Struct, frozen=True):
    x_axis: Axis
    y_axis: Axis
    height: int

    def x(self, step: float) -> float:
        return float(_LEFT + self.x_axis.place(step) * (WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> float:
        return float(self.bottom - self.y_axis.place(value) * (self.bottom - _TOP))

    @property
    def bottom(self) -> int:
        return self.height - _BOTTOM


def _grid(box: _Box) -> list[str]:
    parts = []
    for tick in box.y_axis.ticks():
        y = box.y(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    for tick in box.x_axis.ticks(8):
        x = box.x(tick)
        anchor = "end" if x > WIDTH - _RIGHT - 12 else "middle"
        parts.append(f'<path class="grid" d="M{x:.1f} {box.bottom}v5"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{box.bottom + 19}" text-anchor="{anchor}">{short(tick)}</text>'
        )
    parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{box.bottom + 19}" text-anchor="end">step</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {box.bottom}H{WIDTH - _RIGHT}"/>')
    if box.y_axis.log:
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{_TOP - 12}" text-anchor="end">log</text>')
    return parts


def _drawn(box: _Box, line: Line) -> str:
    curve = thinned(line.curve, _BUCKETS)
    xs = (_LEFT + box.x_axis.place(curve.x) * (WIDTH - _LEFT - _RIGHT)).tolist()
    ys = (box.bottom - box.y_axis.place(curve.y) * (box.bottom - _TOP)).tolist()
    path = (
        f'<path class="{line.role} {"line" if line.style == "points" else line.style}" d="{_path(xs, ys)}"/>'
    )
    if line.style != "points":
        return path
    marks = []
    for x, (low, high) in zip(xs, line.spread, strict=False):
        marks.append(f'<path class="{line.role} spread" d="M{x:.1f} {box.y(low):.1f}V{box.y(high):.1f}"/>')
    for x, y, step, value in zip(xs, ys, curve.x.tolist(), curve.y.tolist(), strict=True):
        told = _shown(f"{line.name} {value:.4g} at step {step:,.0f}")
        marks.append(
            f'<circle class="{line.role} dot" cx="{x:.1f}" cy="{y:.1f}" r="3.4"><title>{told}</title></circle>'
        )
    return path + "".join(marks)


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))


def _flag_line(box: _Box, flag: Flag) -> str:
    return f'<path class="flag {flag.level}" d="M{box.x(flag.step):.1f} {_TOP - 8}V{box.bottom}"/>'


def _flag_marks(box: _Box, flags: Sequence[Flag]) -> list[str]:
    """Return the numbers of `flags`, in two rows where they stand close; where both are full a line has none."""
    parts: list[str] = []
    ends = [-math.inf] * _ROWS
    for flag in sorted(flags, key=lambda flag: flag.step):
        x = box.x(flag.step)
        row = next((place for place in range(_ROWS) if x - ends[place] >= _MARK), None)
        if row is None:
            continue
        ends[row] = x
        y = _TOP - 18 + row * _MARK
        title = f"<title>step {flag.step:,}: {_shown(flag.text)}</title>"
        parts.append(f'<g class="mark {flag.level}">{title}<circle cx="{x:.1f}" cy="{y}" r="8"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 3.6:.1f}" text-anchor="middle">{flag.number}</text></g>')
    return parts


def _crosses(box: _Box, steps: Sequence[float], most: int = 200) -> list[str]:
    stride = max(1, math.ceil(len(steps) / most))
    return [
        f'<path class="cross" d="M{box.x(step) - 3:.1f} {_TOP}l6 6m0-6l-6 6">'
        f"<title>step {step:,.0f}: not a finite number</title></path>"
        for step in steps[::stride]
    ]


def _shown(text: str) -> str:
    return escaped(public(text))


def _in_words(title: str, lines: Sequence[Line], flags: Sequence[Flag]) -> str:
    """Return what a reader who can't see the chart should know of it."""
    told = [title]
    for line in lines:
        curve = line.curve.finite
        if line.style == "raw" or not len(curve):
            continue
        first, last = curve.y[0], curve.y[-1]
        told.append(
            f"{line.name} from {first:.4g} at step {curve.x[0]:,.0f} to {last:.4g} at step {curve.x[-1]:,.0f}, "
            f"between {curve.y.min():.4g} and {curve.y.max():.4g}"
        )
    told += [f"step {flag.step:,}: {flag.text}" for flag in flags[:8]]
    return "; ".join(told)
