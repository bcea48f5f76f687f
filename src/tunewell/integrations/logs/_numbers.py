"""Numbers as tools write them."""

from __future__ import annotations

import math

from tunewell.integrations.logs._log import Value

_SPELLED = {
    "nan": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}
_ABSENT = {"", "null", "none", "na", "n/a"}


def number(value: Value) -> float | None:
    """Return `value` as a number, NaN and infinities included; None where nothing stands.

    Raises `ValueError` for a text that is no number.
    """
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    text = value.strip().lower().lstrip("+")
    if text in _ABSENT:
        return None
    if text in _SPELLED:
        return _SPELLED[text]
    if text.startswith("tensor("):  # print(loss) of a torch script, such as `tensor(0.6931, grad_fn=…)`
        text = text.removeprefix("tensor(").split(",")[0].rstrip(")")
        return _SPELLED[text] if text in _SPELLED else float(text)
    return float(text)
