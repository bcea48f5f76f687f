"""The rows of a run in tables: what became of them, how the classes stand, what was looked for."""

from __future__ import annotations

from typing import Any

import msgspec

from tunewell.runs.data_checks import in_full
from tunewell.runs.report._facts import Facts

_SHOWN_LABELS = 30


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of one split, in words; empty where it is not known."""

    name: str
    read: str
    kept: str
    dropped: str
    duplicates: str
    tokens: str
    cut: str


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of a class there are, beside the largest class."""

    label: str
    rows: int
    of_all: float
    of_largest: float


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a report tells of the rows."""

    files: list[str]
    splits: list[Split]
    balance: list[Share]
    more_labels: int
    remarks: list[str]
    checks: list[tuple[str, str]]


def data(facts: Facts) -> Data:
    """Return the tables of the rows, as far as the ledger and the record tell."""
    ledger = facts.ledger
    splits = ledger.get("splits")
    by_name: dict[str, Any] = splits if isinstance(splits, dict) else {}
    files = [str(file) for about in by_name.values() for file in about.get("files", [])]
    counts = facts.started.class_counts if facts.started else {}
    shares = _balance(counts or by_name.get("train", {}).get("balance", {}))
    lines = [_split(name, about) for name, about in by_name.items()]
    if not lines and facts.started is not None:
        rows = facts.started.num_rows
        lines = [
            Split(name=name, read="", kept=f"{count:,}", dropped="", duplicates="", tokens="", cut="")
            for name, count in rows.items()
        ]
    return Data(
        files=list(dict.fromkeys(files)),
        splits=lines,
        balance=shares[:_SHOWN_LABELS],
        more_labels=max(0, len(shares) - _SHOWN_LABELS),
        remarks=_remarks(ledger),
        checks=in_full(facts.data_checked) if facts.data_checked is not None else [],
    )


def _split(name: str, about: dict[str, Any]) -> Split:
    dropped = [
        f"{_places(found)} {reason.replace('_', ' ')}" for reason, found in about.get("dropped", {}).items()
    ]
    tokens, cut = about.get("tokens"), about.get("truncated")
    return Split(
        name=name,
        read=f"{about.get('read', 0):,}",
        kept=f"{about.get('kept', 0):,}",
        dropped="; ".join(dropped) or "none",
        duplicates=_places(about.get("duplicates", {})),
        tokens=f"{tokens['mean']:,.0f} · {tokens['p95']:,.0f} · {tokens['longest']:,}" if tokens else "",
        cut="" if cut is None else f"{cut:,}",
    )


def _places(found: dict[str, Any]) -> str:
    return f"{found.get('count', 0):,}"


def _balance(counts: dict[str, int]) -> list[Share]:
    total, largest = sum(counts.values()), max(counts.values(), default=0)
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [
        Share(label=label, rows=rows, of_all=rows / max(1, total), of_largest=rows / max(1, largest))
        for label, rows in ordered
    ]


def _remarks(ledger: dict[str, Any]) -> list[str]:
    told = []
    for kind, words in (
        ("conflicts", "stand with another label too"),
        ("control_characters", "hold control characters"),
    ):
        if (found := ledger.get(kind)) and found.get("count"):
            places = ", ".join(found.get("places", [])[:3])
            told.append(f"{found['count']:,} rows {words} ({places})")
    for split, found in (ledger.get("leakage") or {}).items():
        count = found.get("count", 0) if isinstance(found, dict) else found
        if count:
            told.append(f"{count:,} rows of {split} stand in the training rows too")
    return told + [str(note) for note in ledger.get("notes", [])]
