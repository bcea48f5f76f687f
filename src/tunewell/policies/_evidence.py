"""What a finding and the facts of its run say of when a trouble began, and of the rate that would be right."""

from __future__ import annotations

import math

from tunewell.actions import SetEpsilon
from tunewell.monitors._statistics import median
from tunewell.policies._protocol import Facts
from tunewell.records import Finding

USUAL_UPDATE = 1e-3
"""‖Δθ‖/‖θ‖ of an update at a good rate in fine-tuning (MiniLM: 7e-4): what a rate that did harm is lowered to."""
RAISED_UPDATE = 1e-2
"""The same for a rate at which nothing is learned, and for what Adam's too high rate is lowered to, whose updates tell the
rate alone: the upper end of what is usual, well within TheDeepChecker's healthy 1e-4 to 1e-1."""
HALF, TENTH = 0.5, 0.1
JUMP = 2.0
"""Rate beside its highest before from which it has left its schedule: a warm-up rises slowly, a warm restart no higher."""
NEAR = 10
"""Updates by which an onset may be told too late."""
USUAL_EPSILON, SMALL_EPSILON = 1e-8, 1e-15
"""PyTorch's default; and one below √v of any gradient that fp32 tells from 0 in practice."""
MOST_RAISED, MOST_CUT = 1000.0, 0.01
"""Bounds of one change of the rate: beyond them its evidence is not to be trusted."""


def onset(finding: Finding) -> int:
    """Return the step that the trouble began with; the start of the run is whole, so at the earliest the first."""
    known = finding.evidence.get("onset")
    return max(1, int(finding.step if known is None else known))


def rate_jump(finding: Finding, facts: Facts) -> float | None:
    """Return how many times its highest before the rate has become since the trouble began; None: it did not jump."""
    jump = number(finding.evidence.get("rate_jump"))
    if jump is None:
        began = onset(finding) - NEAR
        before = [rate for step, rate in facts.rates if step < began]
        since = [rate for step, rate in facts.rates if step >= began]
        if len(before) < NEAR or not since or max(before) <= 0:
            return None
        jump = max(since) / max(before)
    return jump if jump > JUMP else None


def lower_factor(finding: Finding, facts: Facts) -> float:
    """Return what the rate has to be multiplied by, as far as the evidence tells."""
    evidence = finding.evidence
    jump = rate_jump(finding, facts)
    if jump is not None:
        return max(1e-4, 1 / jump)  # back to the schedule: a jump is known exactly
    ratio = number(evidence.get("update_ratio"))
    usual = (
        RAISED_UPDATE if facts.can(SetEpsilon(USUAL_EPSILON)) else USUAL_UPDATE
    )  # SGD's tell of gradients too
    if ratio is not None and ratio > 2 * USUAL_UPDATE:
        return min(HALF, max(MOST_CUT, usual / ratio))
    return TENTH if evidence.get("never_learned") else HALF


def raise_factor(finding: Finding) -> float | None:
    """Return what a rate that is too low has to be multiplied by; None: updates are not too small."""
    ratio = number(finding.evidence.get("update_ratio"))
    if ratio is None:
        ratios = [r for r in finding.evidence.get("update_ratios") or () if isinstance(r, float) and r > 0]
        ratio = median(ratios) if ratios else None
    if ratio is None:
        return 10.0
    factor = RAISED_UPDATE / max(ratio, 1e-12)
    return min(MOST_RAISED, factor) if factor >= 2 else None


def number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
