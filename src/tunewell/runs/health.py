"""How a run is doing, in words that are understood at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from tunewell.runs.summary import Summary

if TYPE_CHECKING:
    from tunewell.runs.incidents import Incident

Level = Literal["good", "attention", "bad", "off"]

_SAID = {
    "loss_spike": "loss spiked",
    "divergence": "training diverged",
    "non_finite": "loss or gradient became infinite or not a number",
    "gradient_spike": "the gradient spiked",
    "exploding_gradient": "the gradient exploded",
    "vanishing_gradient": "the gradient vanished",
    "plateau": "the score stands still",
    "overfitting": "the model overfits",
    "underfitting": "the model learns nothing",
    "oscillation": "the loss swings",
    "stall": "an update took far too long",
    "learning_rate_too_high": "the learning rate is too high",
    "learning_rate_too_low": "the learning rate is too low",
    "disk_running_out": "the disk runs out",
    "memory_growth": "memory grows",
}
_STATES = {
    "running": "Running",
    "paused": "Paused",
    "completed": "Completed",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
    "failed": "Failed",
    "crashed": "Died without a word",
    "unreadable": "Can't be read",
}


class Health(msgspec.Struct, frozen=True):
    """`words` for a line of a list, `headline` for a page."""

    level: Level
    words: str
    headline: str


def health(summary: Summary, incidents: Sequence[Incident] | None = None, *, paused: bool = False) -> Health:
    """Return how the run of `summary` is doing.

    Without `incidents` (a list of many runs) what the summary knows of them counts; where it knows nothing, all findings do.
    """
    status = "paused" if paused and summary.status == "running" else summary.status
    where = _where(summary)
    reason = f" ({summary.reason.rstrip('.')})" if summary.reason and status in {"failed", "stopped"} else ""
    if status in {"failed", "crashed", "unreadable"}:
        words = f"{_STATES[status]}{where}"
        return Health(
            "bad", words, words + (reason or (f": {summary.reason}" if status == "unreadable" else ""))
        )
    trouble = _counted_trouble(summary) if incidents is None else _open_trouble(incidents)
    mended = _mended(incidents or ())
    if status == "running":
        if trouble:
            level: Level = "bad" if _is_critical(summary, incidents) else "attention"
            return Health(level, f"Needs attention{where}", f"Needs attention: {trouble}{where}")
        return Health("good", f"Healthy{where}", f"Healthy{where}{mended}")
    state = _STATES[status]
    if trouble:
        return Health(
            "attention", f"{state}, needs attention{where}", f"{state}{reason}, but {trouble}{where}"
        )
    level = "good" if status == "completed" else "off"
    if status == "stopped" and incidents is None and summary.open_incidents is None:
        level = "attention"
    return Health(level, f"{state}{where}", f"{state}{reason}{where}{mended}")


def said(incident: Incident) -> str:
    """Return an incident in a few words: ``loss spiked at step 1,840``."""
    code = incident.code
    return f"{_SAID.get(code, code.replace('_', ' '))} at step {incident.first_step:,}"


def is_open(incident: Incident) -> bool:
    """Whether nothing shows that an incident is over."""
    return incident.recovered is not True


def _where(summary: Summary) -> str:
    if not summary.step and not summary.total_steps:
        return ""
    of = f" of {summary.total_steps:,}" if summary.total_steps else ""
    return f" · step {summary.step:,}{of}"


def _counted_trouble(summary: Summary) -> str:
    counted, what = _counts(summary)
    kinds = ("critical", "warning", "info") if what == "incident" else ("critical", "warning")
    told = [f"{count:,} {kind}" for kind in kinds if (count := counted.get(kind, 0))]
    many = sum(counted.get(kind, 0) for kind in kinds)
    return f"{' and '.join(told)} {what}{'' if many == 1 else 's'}" if told else ""


def _counts(summary: Summary) -> tuple[dict[str, int], str]:
    if summary.open_incidents is not None:
        return summary.open_incidents, "incident"
    return summary.findings, "finding"


def _open_trouble(incidents: Sequence[Incident]) -> str:
    still = [incident for incident in incidents if is_open(incident)]
    if not still:
        return ""
    worst = max(still, key=lambda one: (one.severity == "critical", one.last_step))
    more = f", and {len(still) - 1} more" if len(still) > 1 else ""
    return f"{said(worst)}{more}"


def _mended(incidents: Sequence[Incident]) -> str:
    over = [incident for incident in incidents if not is_open(incident)]
    if not over:
        return ""
    return f" · recovered: {said(over[-1])}" + (f", and {len(over) - 1} more" if len(over) > 1 else "")


def _is_critical(summary: Summary, incidents: Sequence[Incident] | None) -> bool:
    if incidents is None:
        return bool(_counts(summary)[0].get("critical"))
    return any(one.severity == "critical" and is_open(one) for one in incidents)
