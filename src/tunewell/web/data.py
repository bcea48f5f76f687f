"""What is known of a run's data: the ledger, the checks before training with a verdict each, suspected labels."""

from __future__ import annotations

from typing import Any

import msgspec

from tunewell.inspections import DataCheck, DataChecked, RowsReviewed
from tunewell.records import Finding
from tunewell.runs import control
from tunewell.web.watched import WatchedRun

_MOST_LEDGER = 8 << 20
_SHOWN_ROWS = 200
_MOST_SUSPECTS = 500
_WORDS = {
    "duplicates": ("stands twice", "training rows whose input stood before"),
    "leakage": ("is known from validation or test", "training rows whose input stands in another split"),
    "conflicts": ("stands with another target too", "rows whose input has several targets"),
    "classes": ("", "rows by class"),
    "balance": ("", "how unequal the classes are"),
    "order": ("", "whether batches mix the classes"),
    "truncated_inputs": ("lost its end", "inputs cut at the greatest length"),
    "truncated_targets": ("lost its end", "targets cut at the greatest length"),
    "unsupervised": ("has no target that counts", "rows from which nothing is learned"),
    "input_scale": ("", "size of the numbers"),
    "alignment": ("", "whether targets belong to their inputs"),
    "signal": ("", "whether inputs tell anything of the targets"),
}
_MONITORS = {
    "duplicates": {"duplicates"}, "leakage": {"leakage"}, "conflicts": {"conflicting_labels"},
    "balance": {"class_imbalance"}, "order": {"sorted_data"}, "truncated_targets": {"truncated_targets"},
    "input_scale": {"inputs_not_normalized"}, "alignment": {"shifted_labels"},
    "signal": {"inputs_unrelated", "shifted_labels"},
}  # fmt: skip
"""Which monitors judge a check."""


def data(run: WatchedRun) -> dict[str, Any]:
    """Return what is known of the data of `run`, texts left out."""
    records = run.log.records
    ledger = _ledger(run)
    checked = next((one for one in reversed(records) if isinstance(one, DataChecked)), None)
    found = {one.monitor for one in records if isinstance(one, Finding) and one.severity != "info"}
    splits = ledger.get("splits", {})
    train = splits.get("train", {})
    return {
        "splits": splits,
        "columns": ledger.get("columns", {}),
        "labels": ledger.get("labels", []),
        "problem": ledger.get("problem", ""),
        "checks": [_check(name, one, found) for name, one in checked.checks.items()] if checked else [],
        "balance": {split: each.get("balance", {}) for split, each in splits.items()},
        "lengths": {"characters": train.get("characters", {}), "tokens": train.get("tokens", {})},
        "suspects": suspects(run),
        "excluded": sorted(control.excluded(records)),
    }


def suspects(run: WatchedRun) -> list[dict[str, Any]]:
    """Return the rows whose target may be wrong, surest first, as the newest review says."""
    review = next((one for one in reversed(run.log.records) if isinstance(one, RowsReviewed)), None)
    return [msgspec.to_builtins(one) for one in review.suspects[:_MOST_SUSPECTS]] if review else []


def _check(name: str, one: DataCheck, found: set[str]) -> dict[str, Any]:
    each, words = _WORDS.get(name, ("", name.replace("_", " ")))
    verdict = "blind" if not one.of else ("seen" if _MONITORS.get(name, {name}) & found else "fine")
    return {
        "name": name,
        "count": one.count,
        "of": one.of,
        "words": words,
        "each": each,
        "verdict": verdict,
        "why_not": one.why_not,
        "rows": one.rows[:_SHOWN_ROWS],
        "partners": one.partners[:_SHOWN_ROWS],
        "numbers": one.numbers,
        "detail": one.detail,
    }


def _ledger(run: WatchedRun) -> dict[str, Any]:
    try:
        with run.folder.ledger.open("rb") as file:
            read = msgspec.json.decode(file.read(_MOST_LEDGER))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return read if isinstance(read, dict) else {}
