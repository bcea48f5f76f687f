"""Make `data/movie_reviews_train.csv` and `data/movie_reviews_test.csv` out of the movie snippets of VADER's authors.

    pip download --no-deps --no-binary :all: vaderSentiment==3.2.1
    tar xf vaderSentiment-3.2.1.tar.gz
    tar xf vaderSentiment-3.2.1/additional_resources/hutto_ICWSM_2014.tar.gz
    python prepare_movie_reviews.py hutto_ICWSM_2014

Only the standard library; the same input gives the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import html
import json
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

NEUTRAL = 0.5
"""Snippets whose mean rating lies within ± this are left out: people did not agree that they lean to a side."""
TEST_ROWS = 2000


class Snippet(NamedTuple):
    """A row of the prepared files."""

    id: int
    text: str
    label: str
    rating: float
    spread: float


def main() -> None:
    """Read the two files of the folder, write the two prepared ones, print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the unpacked hutto_ICWSM_2014")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "data", help="folder to write to")
    arguments = parser.parse_args()
    texts = fields(arguments.folder / "movieReviewSnippets_GroundTruth.txt", 3)
    ratings = fields(arguments.folder / "movieReviewSnippets_anonDataRatings.txt", 4)
    if [row[0] for row in texts] != [row[0] for row in ratings]:
        raise SystemExit("the ids of texts and ratings differ")
    every = [snippet(text, rating) for text, rating in zip(texts, ratings, strict=True)]
    clear = [row for row in every if abs(row.rating) > NEUTRAL]
    train, test = divide(clear)
    arguments.to.mkdir(parents=True, exist_ok=True)
    print(f"read {len(every)}, near-neutral {len(every) - len(clear)}, kept {len(clear)}")
    for name, rows in (("train", train), ("test", test)):
        write(arguments.to / f"movie_reviews_{name}.csv", rows)
        print(f"{name} {len(rows)}: {sum(row.label == 'positive' for row in rows)} positive")


def fields(path: Path, expected: int) -> list[list[str]]:
    """Return the tab-separated fields of each line; stops at a line that has not as many as `expected`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != expected:
            raise SystemExit(f"{path}:{number}: {len(row)} fields, expected {expected}")
    return rows


def snippet(text: list[str], rating: list[str]) -> Snippet:
    """Return one row; mean and standard deviation are computed from the single ratings and checked."""
    single = json.loads(rating[3])
    mean = statistics.fmean(single)
    if abs(mean - float(text[1])) > 1e-6:
        raise SystemExit(f"snippet {text[0]}: the mean of its ratings is not the one given")
    label = "positive" if mean > 0 else "negative"
    return Snippet(int(text[0]), tidy(text[2]), label, round(mean, 3), round(statistics.pstdev(single), 3))


def tidy(text: str) -> str:
    """Resolve ``&amp;``, make two apostrophes the quotation mark they stand for, and runs of spaces one."""
    return re.sub(r"\s+", " ", html.unescape(text).replace("''", '"')).strip()


def divide(rows: list[Snippet]) -> tuple[list[Snippet], list[Snippet]]:
    """Return training and test rows, in an order that the hash of the words gives.

    Rows with the same words are neighbours in that order and are never divided.
    """
    groups: dict[str, list[Snippet]] = defaultdict(list)
    for row in rows:
        words = " ".join(re.findall(r"\w+", row.text.casefold()))
        groups[hashlib.sha256(words.encode()).hexdigest()].append(row)
    test: list[Snippet] = []
    train: list[Snippet] = []
    for _, group in sorted(groups.items()):
        (test if len(test) + len(group) <= TEST_ROWS else train).extend(group)
    return train, test


def write(path: Path, rows: list[Snippet]) -> None:
    """Write rows as CSV, UTF-8, a header first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Snippet._fields)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
