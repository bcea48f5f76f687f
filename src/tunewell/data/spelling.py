"""How label values are spelled: what counts as the same, as none, as a number, as a list."""

from __future__ import annotations

import math
import re
from json import JSONDecodeError, loads
from typing import Any

LARGEST = 2**53
"""Integers beyond this are no classes or scores (and no longer exact as numbers): most likely ids."""
_INTEGER = re.compile(r"([+-]?(?:0|[1-9][0-9]*))(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ABSENT = {"", "nan", "null"}
_LONGEST_NUMBER = 400


def spell(value: Any) -> str | None:
    """Return one spelling for labels that mean the same (``1``, ``1.0``, `` 1``), None for no label.

    ``012`` stays as it is: it is more likely a code than twelve.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return (f"{value:.0f}" if value.is_integer() else repr(value)) if math.isfinite(value) else None
    text = str(value).strip()
    if text.casefold() in _ABSENT:
        return None
    whole = _INTEGER.fullmatch(text) if len(text) < _LONGEST_NUMBER else None
    return str(int(whole[1])) if whole else text


def is_integer(text: str) -> bool:
    """Tell whether a spelling is that of a whole number, such as ``1`` or ``-3.0``."""
    return _INTEGER.fullmatch(text) is not None


def is_number(text: str) -> bool:
    """Tell whether a spelling is that of a decimal number."""
    return _NUMBER.fullmatch(text) is not None


def is_huge(text: str) -> bool:
    """Tell whether a spelling is that of a whole number beyond `LARGEST`."""
    whole = _INTEGER.fullmatch(text)
    return whole is not None and (len(whole[1]) >= _LONGEST_NUMBER or abs(int(whole[1])) > LARGEST)


def list_in(value: Any) -> list[Any] | None:
    """Return the list that a value is or, as JSON text, spells; else None."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            found = loads(value)
        except (JSONDecodeError, RecursionError):
            return None
        return found if isinstance(found, list) else None
    return None


def shortened(value: Any) -> str:
    """Return a value as messages show it, at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
