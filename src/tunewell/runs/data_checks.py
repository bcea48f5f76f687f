"""What was looked for in the rows before a training, and what the self-tests came to, in words."""

from __future__ import annotations

from tunewell.inspections import DataCheck, DataChecked

_COUNTED = {
    "duplicates": "stood before",
    "leakage": "stand in an evaluation split too",
    "conflicts": "contradict another row of the same input",
    "truncated_inputs": "are cut",
    "truncated_targets": "lose some of their target",
    "unsupervised": "are without a target that counts",
}
"""Checks that count rows, and what is said of those."""
_IN_LEDGER = {"classes", "balance", "truncated_inputs"}


def in_brief(record: DataChecked) -> str:
    """Return what was found in a line; what is all well is not mentioned."""
    rows = max((check.of for check in record.checks.values()), default=0)
    found = [
        f"{check.count:,} {words}"
        for name, words in _COUNTED.items()
        if (check := record.checks.get(name)) and check.count
    ]
    if signal := _signal(record.checks.get("signal")):
        found.append(signal)
    return f"data: {rows:,} training rows looked at" + (": " if found else "") + "; ".join(found)


def in_full(record: DataChecked) -> list[tuple[str, str]]:
    """Return each check by name, in words; what the ledger tells as well is left out, what could not be made is last."""
    made = {
        name: check for name, check in record.checks.items() if not check.why_not and name not in _IN_LEDGER
    }
    unmade = [name.replace("_", " ") for name, check in record.checks.items() if check.why_not]
    lines = [(f"{name.replace('_', ' ')}:", _told(name, check)) for name, check in made.items()]
    return [*lines, *([("not checked:", ", ".join(unmade))] if unmade else [])]


def _told(name: str, check: DataCheck) -> str:
    if name in _COUNTED:
        number = f"{check.count:,} of {check.of:,} rows" if check.count else f"none of {check.of:,} rows"
        return f"{number} {_COUNTED[name]}" + (f" ({check.detail.rstrip('.')})" if check.detail else "")
    if name == "signal":
        return _signal(check) or check.detail
    if name == "order" and "purity" in check.numbers:
        purity, expected = check.numbers["purity"], check.numbers["expected"]
        return f"in the mean batch {purity:.0%} are of one class; a random order gives {expected:.0%}"
    return (
        ", ".join(f"{key.replace('_', ' ')} {value:,.4g}" for key, value in check.numbers.items())
        or check.detail
    )


def _signal(check: DataCheck | None) -> str:
    """Return how far a simple model can tell the targets from the inputs; nothing where that was not tried."""
    if check is None or "accuracy" not in check.numbers:
        return ""
    accuracy, chance = check.numbers["accuracy"], check.numbers.get("chance", 0.0)
    if not chance:
        return f"a simple model's answers correlate with the targets by {accuracy:.2f}"
    return f"a simple model tells {accuracy:.0%} of the targets, a guess {chance:.0%}"
