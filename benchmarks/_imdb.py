"""IMDb reviews for the benchmarks: the first rows of a folder with train.jsonl.xz and test.jsonl.xz (text, label)."""

from __future__ import annotations

import itertools
import lzma
from pathlib import Path


def write_subset(source: Path, target: Path, train_rows: int, test_rows: int) -> None:
    """Write the first rows of both splits as plain JSONL into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", train_rows), ("test", test_rows)):
        with lzma.open(source / f"{split}.jsonl.xz", "rt", encoding="utf-8") as lines:
            (target / f"{split}.jsonl").write_text("".join(itertools.islice(lines, rows)), encoding="utf-8")
