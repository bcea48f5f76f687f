"""At which updates a run is looked into."""

from __future__ import annotations

FIRST = 3
"""Updates at the beginning that are all looked into: most mistakes of code show there."""
EARLY_SHARE, EARLY_LOOKS = 0.25, 20
"""In the first share of a run there are twice as many looks, up to so many: what is found then costs little to mend."""


def is_due(done: int, every: int, total: int | None) -> bool:
    """Return whether the update behind the first `done` of `total` (None: not known) is looked into; `every` 0: none."""
    if every <= 0:
        return False
    early = EARLY_LOOKS * every / 2
    if total is not None:
        early = min(early, EARLY_SHARE * total)
    return done < FIRST or done % (max(1, every // 2) if done <= early else every) == 0
