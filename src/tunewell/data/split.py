"""Hold rows out for validation and test: seeded, stratified, and never one text on both sides.

A row's fate hangs on the hash of its content (or of its group) and the seed, not on its position: shuffling the
file changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

TRAIN = "train"


def split_by_share(
    groups: Sequence[bytes], classes: Sequence[Sequence[int]], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Return each row's split: ``train`` or a key of `shares`, the share of all rows to hold out under that name.

    Rows of equal `groups` go together. `classes` are each row's classes, whose shares are kept equal in all
    splits; give every row the same one for a plain split. A split gets at least one row where there are two; a
    class keeps at least one row in training.
    """
    members: dict[bytes, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    order = sorted(members, key=lambda group: seeded_key(seed, "split", group))
    available = Counter(c for row in classes for c in row)
    result = [TRAIN] * len(groups)
    for name, share in shares.items():
        wanted = _quotas(available, len(groups), share)
        left = []
        for group in order:
            counts = Counter(c for row in members[group] for c in classes[row])
            useful = sum(min(count, wanted[c]) for c, count in counts.items())
            if 2 * useful > counts.total():  # nearer to the wanted counts with it than without
                wanted.subtract({c: min(count, wanted[c]) for c, count in counts.items()})
                for row in members[group]:
                    result[row] = name
            else:
                left.append(group)
        order = left
    return result


def joined_groups(texts: Sequence[bytes], named: Sequence[Hashable]) -> list[bytes]:
    """Return a group for each row such that rows of equal text, or of equal name (other than None), share it."""
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for text, name in zip(texts, named, strict=True):
        if name is not None:
            parent[root((0, text))] = root((1, name))
    smallest: dict[Hashable, bytes] = {}
    for text in texts:
        top = root((0, text))
        smallest[top] = min(text, smallest.get(top, text))
    return [smallest[root((0, text))] for text in texts]


def seeded_key(seed: int, purpose: str, content: bytes) -> bytes:
    """Return what to sort by for a seeded order that hangs on `content` alone."""
    return hashlib.blake2b(b"%d %s " % (seed, purpose.encode()) + content, digest_size=16).digest()


def _quotas(available: Counter[int], num_rows: int, share: float) -> Counter[int]:
    """Return how many rows of each class to hold out: largest remainders, so that the total is right too."""
    exact = {c: available[c] * share for c in sorted(available)}
    most = {c: available[c] - 1 if len(available) > 1 else available[c] for c in available}
    quotas = Counter({c: min(int(value), most[c]) for c, value in exact.items()})
    missing = max(1, round(sum(exact.values()))) - quotas.total() if num_rows > 1 else 0
    for c in sorted(exact, key=lambda c: int(exact[c]) - exact[c]):
        if missing > 0 and quotas[c] < most[c]:
            quotas[c] += 1
            missing -= 1
    return quotas
