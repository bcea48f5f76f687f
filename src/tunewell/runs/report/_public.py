"""Text as a page that is passed on may show it."""

from __future__ import annotations

import re
from typing import Any

_FOLDERS = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:=,'\"]+[\\/])+")
"""The folders of an absolute path: a report is passed on, a machine's folders are not."""
_LONGEST = 2_000


def public(value: Any) -> Any:
    """Return text as a page may show it: no folders of this machine, no signs that turn the text around, not endless."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]} …"
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return _FOLDERS.sub("", text)
