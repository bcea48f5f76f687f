"""How questions are read and answers written: JSON, bounded, with errors in words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tunewell.records import spell_non_finite

_encoder = msgspec.json.Encoder()
_RUN_ID = re.compile(r"[0-9a-f]{16}\Z")


class AskError(ValueError):
    """A question that can't be answered: which status, why, what to do, and about which field."""

    def __init__(self, error: str, fix: str = "", *, status: int = 400, field: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.fix, self.field = status, error, fix, field

    def answer(self) -> Response:
        """Return it as an answer."""
        told = {"error": self.error, "fix": self.fix, **({"field": self.field} if self.field else {})}
        return answer(told, self.status)


def encoded(value: Any) -> bytes:
    """Return `value` as JSON; numbers that JSON lacks are spelled as text."""
    made = _encoder.encode(value)
    if b"null" in made:  # msgspec writes what is not finite as null
        made = _encoder.encode(spell_non_finite(value))
    return made


def answer(value: Any, status: int = 200) -> Response:
    """Return `value` as a JSON answer."""
    return Response(
        value if isinstance(value, bytes) else encoded(value), status, media_type="application/json"
    )


def run_id(request: Request) -> str:
    """Return the id of the run that is asked for."""
    return known_id(request.path_params["run"])


def known_id(text: str) -> str:
    """Return `text` where it may be the id of a run."""
    if not _RUN_ID.match(text):
        raise AskError("no such run", "go back to the list of runs", status=404)
    return text


def ids(request: Request, most: int) -> list[str]:
    """Return the ids of several runs."""
    found = list(
        dict.fromkeys(known_id(one) for one in request.query_params.get("runs", "").split(",") if one)
    )
    if not 0 < len(found) <= most:
        raise AskError(f"name 1 to {most} runs", "?runs=ID,ID", field="runs")
    return found


def number(request: Request, name: str, default: float | None, low: float, high: float) -> float | None:
    """Return a number of the question between `low` and `high`."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise AskError(
            f"`{name}` must be a number from {low:g} to {high:g}", f"leave `{name}` out", field=name
        )
    return value


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the question between `low` and `high`."""
    return int(number(request, name, default, low, high) or 0)


def choice(request: Request, name: str, default: str, known: Sequence[str]) -> str:
    """Return a word of the question that is one of `known`."""
    word = request.query_params.get(name, "") or default
    if word not in known:
        raise AskError(f"`{name}` is one of {', '.join(known)}", f"leave `{name}` out", field=name)
    return word


def plain(value: Any) -> bytes:
    """Return `value` as JSON in which what is no finite number is null."""
    return _encoder.encode(value)
