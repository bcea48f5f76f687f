"""What became of every row: read, kept, dropped and why, cut, doubled, contradicted; readable before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from tunewell.data.spelling import is_number, printable

SHOWN = 20
"""Places kept of each kind."""


class Places(msgspec.Struct, frozen=True):
    """How many, and where the first ones are (``file:line``)."""

    count: int = 0
    places: list[str] = []

    def __str__(self) -> str:
        if not self.places:
            return f"{self.count:,}"
        more = ", …" if self.count > 3 else ""
        return f"{self.count:,} ({', '.join(self.places[:3])}{more})"


def places(found: Iterable[str]) -> Places:
    """Return the count of `found` and its first places."""
    every = list(found)
    return Places(len(every), every[:SHOWN])


class Spread(msgspec.Struct, frozen=True):
    """The spread of a length."""

    mean: float
    median: float
    p95: float
    longest: int

    def __str__(self) -> str:
        return f"mean {self.mean:,.0f}, median {self.median:,.0f}, 95 % up to {self.p95:,.0f}, longest {self.longest:,}"


def spread(lengths: Sequence[int] | npt.NDArray[np.integer]) -> Spread:
    """Return the spread of lengths; zeros where there are none."""
    if len(lengths) == 0:
        return Spread(0.0, 0.0, 0.0, 0)
    array = np.asarray(lengths)
    return Spread(
        float(array.mean()), float(np.median(array)), float(np.percentile(array, 95)), int(array.max())
    )


class SplitLedger(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one split: ``read == kept + sum of dropped``."""

    files: list[str] = []
    """Where its rows come from; of a split held out by share, the training files."""
    read: int = 0
    kept: int = 0
    dropped: dict[str, Places] = {}
    """By reason."""
    duplicates: Places = Places()
    """Kept rows whose text and label stood before in the split."""
    balance: dict[str, int] = {}
    """Kept rows by label; empty for regression."""
    characters: Spread = Spread(0.0, 0.0, 0.0, 0)
    tokens: Spread | None = None
    """Lengths in tokens, special tokens included; None: not encoded yet."""
    max_length: int | None = None
    truncated: int | None = None
    """Rows that lost tokens at `max_length`; None: not encoded yet."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that became of the rows of a data set before training; encodes to JSON as it is."""

    problem: str
    labels: list[str] = []
    columns: dict[str, str] = {}
    """Column names by what they are used for."""
    splits: dict[str, SplitLedger] = {}
    leakage: dict[str, Places] = {}
    """Rows of the first split whose text stands in the second, by ``train/test``; before any was dropped for it."""
    conflicts: Places = Places()
    """Texts that stand with different labels; a place is ``a.csv:3 = a.csv:9``."""
    control_characters: Places = Places()
    """Rows whose text holds control characters."""
    notes: list[str] = []
    """Guesses made and things unified."""

    @property
    def rows_read(self) -> int:
        """Rows read from all files."""
        return sum(split.read for split in self.splits.values())

    def with_lengths(
        self, split: str, lengths: npt.NDArray[np.integer], max_length: int, truncated: npt.NDArray[np.bool_]
    ) -> Ledger:
        """Return the ledger with the lengths in tokens, (rows,), of `split`, and which rows, (rows,), were cut."""
        known = msgspec.structs.replace(
            self.splits[split],
            tokens=spread(lengths),
            max_length=max_length,
            truncated=int(np.sum(truncated)),
        )
        return msgspec.structs.replace(self, splits={**self.splits, split: known})

    def lines(self, *, brief: bool = False) -> list[str]:
        """Return the ledger as plain lines for a terminal; `brief`: without notes and lengths in characters."""
        used = ", ".join(f"{use} from `{name}`" for use, name in self.columns.items())
        lines = [f"{self.rows_read:,} rows read: {used}; {self.problem}"]
        for name, split in self.splits.items():
            lines += _split_lines(name, split, brief)
        for pair, found in self.leakage.items():
            lines.append(f"shared texts in {pair}: {found}")
        if self.conflicts.count:
            lines.append(f"one text, different labels: {self.conflicts}")
        if self.control_characters.count:
            lines.append(f"texts with control characters: {self.control_characters}")
        if not brief:
            lines += [f"note: {note}" for note in self.notes]
        return [printable(line) for line in lines]


def _split_lines(name: str, split: SplitLedger, brief: bool) -> list[str]:
    lines = [f"{name}: {split.kept:,} rows kept of {split.read:,}" + _balance(split)]
    lines += [f"  dropped, {reason}: {found}" for reason, found in split.dropped.items()]
    if split.duplicates.count:
        lines.append(f"  duplicates: {split.duplicates}")
    if not brief:
        lines.append(f"  characters: {split.characters}")
    if split.tokens is not None:
        share = (split.truncated or 0) / max(1, split.kept)
        cut = (
            f"{split.truncated:,} cut at {split.max_length} ({share:.1%})" if split.truncated else "none cut"
        )
        lines.append(f"  tokens: {split.tokens}; {cut}")
    return lines


def _balance(split: SplitLedger, most: int = 8) -> str:
    if not split.balance:
        return ""
    shares = [
        f"{f'`{label}`' if is_number(label) else label} {count:,} ({count / max(1, split.kept):.1%})"
        for label, count in split.balance.items()
    ]
    more = f" and {len(shares) - most} more" if len(shares) > most else ""
    return ": " + ", ".join(shares[:most]) + more
