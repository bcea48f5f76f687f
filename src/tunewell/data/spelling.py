"""How label values are spelled: what counts as the same, as none, as a number, as a list."""

from __future__ import annotations

import math
import re
from json import JSONDecodeError, loads
from types import NoneType
from typing import Any

LARGEST = 2**53
"""Integers beyond this are no classes or scores (and no longer exact as numbers): most likely ids."""
_INTEGER = re.compile(r"([+-]?(?:0|[1-9][0-9]*))(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ABSENT = {"", "nan", "null"}
_LONGEST_NUMBER = 400
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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
    if text.casefold() in _ABSENT or _UNUSABLE.search(text):
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


def kind_of(value: Any) -> str:
    """Return what kind of value this is, in a reader's words: ``a list``, ``an object``."""
    words = {dict: "an object", list: "a list", bool: "true or false", str: "a text", NoneType: "nothing"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return words.get(type(value), f"a {type(value).__name__}")


def unlabelled(value: Any) -> str:
    """Return in words why `value`, for which `spell` finds no label, is none."""
    if value is None:
        return "no label"
    if isinstance(value, str) and not value.strip():
        return "the label is empty"
    if isinstance(value, str) and (unusable := unusable_in(value)):
        return f"the label holds {unusable}"
    return f"no label: `{str(value).strip()}` is none"


def unusable_in(text: str) -> str | None:
    """Return what `text` holds that no tokenizer can take, with its position; None: it can be used."""
    found = None if text.isascii() and "\0" not in text else _UNUSABLE.search(text)
    if found is None:
        return None
    if found[0] == "\0":
        what = "a NUL character"
    elif "\udc80" <= found[0] <= "\udcff":
        what = f"a byte that is not UTF-8 (0x{ord(found[0]) - 0xDC00:02x})"
    else:
        what = f"half a character (U+{ord(found[0]):04X})"
    return f"{what} at position {found.start()}"


def printable(text: str) -> str:
    """Return `text` with escapes such as ``\\x1b`` for what would change the screen or the order of the letters."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened(value: Any) -> str:
    """Return a value as messages show it, at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
