"""Curves as a page can show them: few points without losing a spike, smoothing, axes and their ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_DECADES = 1.3
"""A curve that spans more than this many powers of ten is drawn on a logarithmic axis."""


class Curve(msgspec.Struct, frozen=True):
    """One line of a chart: `x` never falls; a `y` that is not finite is a gap."""

    x: Numbers
    y: Numbers

    def __len__(self) -> int:
        return len(self.x)

    @property
    def finite(self) -> Curve:
        """The same without its gaps."""
        kept = np.isfinite(self.y)
        return Curve(self.x[kept], self.y[kept])


def curve_of(points: Iterable[tuple[float, float]]) -> Curve:
    """Return the curve through `points` (x, y)."""
    pairs = np.asarray(list(points), dtype=np.float64).reshape(-1, 2)
    return Curve(pairs[:, 0], pairs[:, 1])


def thinned(curve: Curve, buckets: int) -> Curve:
    """Return at most two points for each of `buckets` pieces of x: its lowest and its highest, in their order.

    A spike of one point stays, whatever the number of points; gaps go. A curve that is short enough is returned as
    it is, without its gaps.
    """
    curve = curve.finite
    count = len(curve)
    if count <= 2 * buckets:
        return curve
    span = curve.x[-1] - curve.x[0]
    if span <= 0:
        kept = sorted({int(curve.y.argmin()), int(curve.y.argmax())})
        return Curve(curve.x[kept], curve.y[kept])
    places = np.minimum(((curve.x - curve.x[0]) / span * buckets).astype(np.int64), buckets - 1)
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    ends = np.append(starts[1:], count)
    chosen = {0, count - 1}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        piece = curve.y[start:end]
        chosen |= {start + int(piece.argmin()), start + int(piece.argmax())}
    kept = sorted(chosen)
    return Curve(curve.x[kept], curve.y[kept])


def smoothed(curve: Curve, window: int | None = None) -> Curve:
    """Return the mean over `window` neighbours around each point (a fortieth of the curve when None); gaps go.

    Where values span decades it is the geometric mean: one spike would lift the other for a whole window. Centred, so that it does not lag behind what it smooths; at the ends half of the window is left.
    """
    curve = curve.finite
    count = len(curve)
    width = window or max(5, count // 40)
    half = min(width // 2, max(0, (count - 1) // 2))
    if not half:
        return curve
    log = axis_for([curve.y]).log and bool((curve.y > 0).all())
    sums = np.concatenate([[0.0], np.cumsum(np.log(curve.y) if log else curve.y)])
    places = np.arange(count)
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, count)
    means = (sums[high] - sums[low]) / (high - low)
    return Curve(curve.x, np.exp(means) if log else means)


class Axis(msgspec.Struct, frozen=True):
    """Values from `low` to `high` on a line from 0 to 1, in powers of ten where `log`."""

    low: float
    high: float
    log: bool = False

    def place(self, value: Any) -> Any:
        """Return where `value` (a number or an array) lies between 0 and 1; beyond the ends it is held there."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            value = np.log10(np.maximum(value, self.low))
        else:
            low, high = self.low, self.high
        return np.clip((value - low) / (high - low), 0.0, 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Return at most about `most` round values on the axis."""
        return _log_ticks(self.low, self.high, most) if self.log else _round_ticks(self.low, self.high, most)


def axis_for(values: Iterable[Numbers | Sequence[float]], *, log: bool | None = None) -> Axis:
    """Return an axis that holds all finite `values` with some air; `log` None: where they span decades."""
    every = np.concatenate([np.asarray(part, dtype=np.float64) for part in values] or [np.empty(0)])
    every = every[np.isfinite(every)]
    if not len(every):
        return Axis(0.0, 1.0)
    low, high = float(every.min()), float(every.max())
    positive = every[every > 0]
    if log is None:
        # Zeros alone forbid no logarithm: a loss that reached 0 once is held at the axis' end.
        log = low >= 0 and len(positive) > 0 and high > 0 and high / float(positive.min()) > 10**_DECADES
    if log and len(positive):
        low = max(float(positive.min()), high * 1e-9)
        low, high = low / 1.1, high * 1.1
        return Axis(low, high if high > low else low * 10, log=True)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return Axis(low - air if low < 0 or low - air > 0 else 0.0, high + air)


def _round_ticks(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [10.0**power * factor for power in range(first, last + 1) for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            return inside
    stride = math.ceil(len(inside) / most)
    return inside[::stride]


def short(value: float) -> str:
    """Return a number for an axis: ``0.25``, ``1,200``, ``3e-5``."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, _, power = f"{value:.3g}".partition("e")
        if not power:
            return f"{value:,.0f}" if size >= 1 else f"{value:.3g}"
        return f"{mantissa}e{int(power)}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"
