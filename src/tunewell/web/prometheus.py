"""Runs as Prometheus reads them: a few gauges, each labelled with its run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunewell.web.listing import Row

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_RUNS = 200
_STATES = ("running", "paused", "completed", "stopped", "interrupted", "failed", "crashed", "unreadable")


def exposition(rows: Sequence[Row], clients: int) -> str:
    """Return the newest runs in Prometheus' text format."""
    shown = list(rows)[:_MOST_RUNS]
    lines = [*_gauge("tunewell_streams", "Pages that follow live", [("", clients)])]
    states = [(f'{{status="{state}"}}', sum(one.status == state for one in rows)) for state in _STATES]
    lines += _gauge("tunewell_runs", "Runs by status", states)
    values = {
        "step": ("Updates done", lambda one: one.step),
        "steps_total": ("Updates planned", lambda one: one.total_steps),
        "epoch": ("Passes over the data", lambda one: one.epoch),
        "loss": ("Training loss of the last update", lambda one: one.loss),
        "best_validation": ("Best validation score", lambda one: one.metric["value"] if one.metric else None),
        "updated_seconds": ("When it last said something", lambda one: one.updated),
        "actions": ("Actions applied", lambda one: one.actions),
    }
    for name, (words, value) in values.items():
        told = [(f'{{run="{_quoted(one.name)}"}}', value(one)) for one in shown]
        lines += _gauge(
            f"tunewell_run_{name}", words, [(label, number) for label, number in told if number is not None]
        )
    found = [
        (f'{{run="{_quoted(one.name)}",severity="{kind}"}}', count)
        for one in shown
        for kind, count in one.findings.items()
    ]
    lines += _gauge("tunewell_run_findings", "Findings by severity", found)
    return "\n".join(lines) + "\n"


def _gauge(name: str, words: str, values: Sequence[tuple[str, float]]) -> list[str]:
    return [
        f"# HELP {name} {words}",
        f"# TYPE {name} gauge",
        *(f"{name}{label} {_number(value)}" for label, value in values),
    ]


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{'+' if value > 0 else '-'}Inf" if math.isinf(value) else repr(value)


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
