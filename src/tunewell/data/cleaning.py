"""Cleaning steps for texts, each a pure function; a recipe's `data.clean` names them in the order wanted."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Sequence

_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_ODD_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b\u2060\ufeff]")


def strip_html(text: str) -> str:
    """Put a space in place of each tag (such as ``<br />``) and comment, then resolve entities such as ``&amp;``.

    A lone ``<`` that opens no tag, as in ``a < b`` or ``<3``, stays.
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    return html.unescape(text) if "&" in text else text


def normalize_unicode(text: str) -> str:
    """Compose letters and their accents (NFC), make odd spaces plain, drop control and zero-width characters.

    The zero-width joiners stay: scripts and emoji need them.
    """
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub("", _ODD_SPACES.sub(" ", unicodedata.normalize("NFC", text)))


def trim(text: str) -> str:
    """Drop white space at both ends."""
    return text.strip()


def collapse_spaces(text: str) -> str:
    """Make each run of white space, line ends included, one space; none is left at the ends."""
    if text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]:
        return text  # tabs, line ends and odd spaces are not printable; splitting takes thrice as long
    return " ".join(text.split())


STEPS: dict[str, Callable[[str], str]] = {
    step.__name__: step for step in (strip_html, normalize_unicode, trim, collapse_spaces)
}
"""Every cleaning step by its name in a recipe."""


def clean(text: str, steps: Sequence[str]) -> str:
    """Return `text` after the named steps, in their order."""
    for step in steps:
        text = STEPS[step](text)
    return text
