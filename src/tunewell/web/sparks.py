"""Small curves for a list: the training loss at forty places of a log, of which little is read."""

from __future__ import annotations

import math
import os
import re
from itertools import pairwise
from typing import Any

from tunewell.runs.folder import RunFolder

POINTS = 40
_WHOLE = 1 << 20
_PIECE = 4 << 10
_LOSS = re.compile(rb'^\{"type":"step"[^\n]*?"loss":([-+.\deE]+|"[A-Za-z]+")', re.MULTILINE)


def spark(hub: Any, run: RunFolder) -> list[float | None]:
    """Return forty numbers of the smoothed training loss of `run`, None where it was not finite."""
    try:
        path = hub.root.inside(run.log)
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _WHOLE:
                return _means(_losses(file.read()))
            places = [(size - _PIECE) * number // (POINTS - 1) for number in range(POINTS)]
            pieces = [_losses(_lines(os.pread(file.fileno(), _PIECE, place), place)) for place in places]
    except (OSError, LookupError):
        return []
    return _smooth([_mean(piece) for piece in pieces if piece])


def _lines(piece: bytes, place: int) -> bytes:
    return piece[piece.find(b"\n") + 1 :] if place else piece


def _losses(text: bytes) -> list[float]:
    return [float(found.strip(b'"')) for found in _LOSS.findall(text) if _is_number(found)]


def _is_number(text: bytes) -> bool:
    try:
        float(text.strip(b'"'))
    except ValueError:
        return False
    return True


def _means(losses: list[float]) -> list[float | None]:
    if len(losses) <= POINTS:
        return _smooth([_mean([loss]) for loss in losses])
    edges = [len(losses) * number // POINTS for number in range(POINTS + 1)]
    return _smooth([_mean(losses[a:b]) for a, b in pairwise(edges)])


def _mean(losses: list[float]) -> float | None:
    present = [loss for loss in losses if math.isfinite(loss)]
    return sum(present) / len(present) if present else None


def _smooth(values: list[float | None]) -> list[float | None]:
    found: list[float | None] = []
    mean: float | None = None
    for value in values:
        if value is not None:
            mean = value if mean is None else 0.5 * mean + 0.5 * value
        found.append(None if value is None or mean is None else round(mean, 6))
    return found
