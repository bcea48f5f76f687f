"""What a model that knows nothing would lose, as a look inside tells it."""

from __future__ import annotations

import math

from tunewell.inspections import Inspected


def of(look: Inspected, classes: int) -> float | None:
    """Return the loss of guessing, or None where it is not known; `classes` are the run's, 0 if it has none."""
    if look.guessing_loss is not None and math.isfinite(look.guessing_loss) and look.guessing_loss > 0:
        return look.guessing_loss
    known = classes or look.num_outputs or 0
    return math.log(known) if known > 1 else None
