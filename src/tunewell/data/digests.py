"""A digest of every row as it is trained on: tells later which rows of a data set changed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from tunewell.data.example import Example

SIZE = 8
"""Bytes of a row's digest."""
_SHOWN = 3


def row_digests(splits: Mapping[str, Sequence[Example]]) -> dict[str, bytes]:
    """Return by split the digests of its rows (text, second text and target), one after the other."""
    encoder = msgspec.json.Encoder()

    def digest(row: Example) -> bytes:
        return hashlib.blake2b(
            encoder.encode([row.text, row.text_pair, row.target]), digest_size=SIZE
        ).digest()

    return {split: b"".join(map(digest, rows)) for split, rows in splits.items()}


def differences(before: Mapping[str, bytes], splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """Return what changed in each split since `before`, such as ``train: 2 rows are new or changed (a.csv:3, a.csv:9)``."""
    told = []
    now = row_digests(splits)
    for split in dict.fromkeys([*before, *now]):
        old = Counter(_cut(before.get(split, b"")))
        left = old.copy()
        fresh: list[str] = []
        for digest, row in zip(_cut(now.get(split, b"")), splits.get(split, ()), strict=True):
            left[digest] -= 1
            if left[digest] < 0:
                fresh.append(row.place)
        gone = sum(count for count in left.values() if count > 0)
        parts = []
        if fresh:
            shown = ", ".join(fresh[:_SHOWN]) + (", …" if len(fresh) > _SHOWN else "")
            parts.append(f"{_rows(len(fresh))} new or changed ({shown})")
        if gone:
            parts.append(f"{_rows(gone)} gone" if not fresh else f"{gone:,} gone")
        if parts:
            told.append(f"{split}: {', '.join(parts)}")
    return told


def _rows(count: int) -> str:
    return f"{count:,} row is" if count == 1 else f"{count:,} rows are"


def _cut(digests: bytes) -> list[bytes]:
    return [digests[i : i + SIZE] for i in range(0, len(digests), SIZE)]
