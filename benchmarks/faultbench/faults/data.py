"""Faults of the rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.faultbench.bases._parts import IGNORED
from benchmarks.faultbench.faults import Injected, When, fault
from benchmarks.faultbench.training import Draw, Rows, Training


@fault(23, "label_noise", When.EPOCH, magnitude=(0.3, 0.1, 0.4), lists_rows=True)
def label_noise(training: Training, draw: Draw) -> Injected:
    """30 % of the training rows have a wrong target: another class, another row's number, other words."""
    rows = draw.rows(training.train.count, draw.magnitude)
    targets = training.train.targets.clone()
    generator = torch.Generator().manual_seed(draw.random.randrange(2**31))
    if training.num_classes:
        offsets = torch.randint(1, training.num_classes, (len(rows),), generator=generator)
        targets[rows] = (targets[rows] + offsets) % training.num_classes
    elif targets.ndim == 1:
        targets[rows] = targets[rows].roll(1)
    else:
        targets[rows] = _other_words(targets[rows], generator)
    training.train = Rows(training.train.inputs, targets)
    return Injected(rows=rows)


@fault(24, "leakage", When.DATA, magnitude=(0.3, 0.1, 0.6), lists_rows=True)
def leakage(training: Training, draw: Draw) -> Injected:
    """30 % of the validation rows stand among the training rows too."""
    copied = draw.rows(training.validation.count, draw.magnitude)
    both = _joined(training.train, training.validation[copied])
    order = draw.random.sample(range(both.count), both.count)
    old = training.train.count
    training.train = both[order]
    return Injected(rows=[place for place, row in enumerate(order) if row >= old])


@fault(25, "duplicates", When.DATA, magnitude=(0.5, 0.25, 0.7), lists_rows=True)
def duplicates(training: Training, draw: Draw) -> Injected:
    """Half of the training rows are copies of the other half."""
    count = training.train.count
    copies = round(draw.magnitude * count)
    originals = list(range(count - copies))
    order = originals + [draw.random.choice(originals) for _ in range(copies)]
    draw.random.shuffle(order)
    training.train = training.train[order]
    return Injected(rows=[place for place, row in enumerate(order) if row in order[:place]])


@fault(26, "truncated_targets", When.DATA, magnitude=(0.4, 0.2, 0.7), lists_rows=True)
def truncated_targets(training: Training, draw: Draw) -> Injected:
    """Rows are cut at a length that 40 % of the answers don't fit into."""
    counted = training.train.targets != IGNORED
    places = torch.arange(counted.shape[1])
    lengths = ((places + 1) * counted).amax(1).sort().values
    length = int(lengths[round((1 - draw.magnitude) * (len(lengths) - 1))])
    cut = counted[:, length:].any(1).nonzero().flatten().tolist()
    training.train = Rows(training.train.inputs[:, :length], training.train.targets[:, :length])
    validation = training.validation
    training.validation = Rows(validation.inputs[:, :length], validation.targets[:, :length])
    return Injected(rows=cut)


@fault(27, "class_imbalance", When.DATA, magnitude=(50, 20, 100))
def class_imbalance(training: Training, draw: Draw) -> None:
    """Half of the classes have 50 times fewer rows than the others."""
    rare = set(draw.random.sample(range(training.num_classes), training.num_classes // 2))
    training.train = _thinned(training.train, rare, draw.magnitude)
    training.validation = _thinned(training.validation, rare, draw.magnitude)


@fault(28, "sorted_data", When.DATA)
def sorted_data(training: Training, draw: Draw) -> None:
    """Rows come class by class."""
    training.train = training.train[training.train.targets.argsort(stable=True)]

    def in_order() -> Iterator[list[int]]:
        rows = list(range(training.train.count))
        while True:
            yield from (rows[i : i + training.batch_size] for i in range(0, len(rows), training.batch_size))

    training.order = in_order


@fault(29, "inputs_not_normalized", When.DATA, magnitude=(255, 100, 1000))
def inputs_times_255(training: Training, draw: Draw) -> None:
    """Inputs are 255 times what they should be, in every split."""
    for name in ("train", "validation", "test"):
        rows: Rows = getattr(training, name)
        setattr(training, name, Rows(rows.inputs * draw.magnitude, rows.targets))


@fault(30, "inputs_unrelated", When.EPOCH)
def features_shuffled(training: Training, draw: Draw) -> None:
    """Inputs were shuffled and targets were not."""
    for name in ("train", "validation"):
        rows: Rows = getattr(training, name)
        order = draw.random.sample(range(rows.count), rows.count)
        setattr(training, name, Rows(rows.inputs[order], rows.targets))


def _other_words(targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return (rows, tokens) with every supervised token but the last of each row made another that occurs."""
    counted = targets != IGNORED
    places = torch.arange(targets.shape[1])
    is_last = places == (places * counted).amax(1, keepdim=True)
    end = targets[is_last][0]
    words = targets[counted & ~is_last].unique()
    words = words[words != end]
    places_in_words = torch.searchsorted(words, targets.clamp(words[0], words[-1]))
    offsets = torch.randint(1, len(words), targets.shape, generator=generator)
    return torch.where(counted & ~is_last, words[(places_in_words + offsets) % len(words)], targets)


def _thinned(rows: Rows, rare: set[int], ratio: float) -> Rows:
    kept = []
    for label in rows.targets.unique().tolist():
        own = (rows.targets == label).nonzero().flatten().tolist()
        kept += own[: max(1, round(len(own) / ratio))] if label in rare else own
    return rows[sorted(kept)]


def _joined(first: Rows, second: Rows) -> Rows:
    return Rows(torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets]))
