"""Which rows make which batch is a function of (seed, cursor): checked as properties over many shapes."""

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewell.data.batches import BatchOrder

SHAPES = st.fixed_dictionaries(
    {
        "lengths": st.lists(st.integers(1, 64), min_size=1, max_size=300),
        "seed": st.integers(0, 2**63 - 1),
        "batch_size": st.integers(1, 40),
        "max_tokens": st.none() | st.integers(1, 2000),
        "group_by_length": st.booleans(),
    }
)


def epoch_of(order: BatchOrder, epoch: int) -> list[np.ndarray]:
    count = order.num_batches(epoch)
    return [order.batch_at(cursor) for cursor in range(epoch * count, (epoch + 1) * count)]


@settings(max_examples=300, deadline=None)
@given(SHAPES, st.integers(0, 1000))
def test_each_row_once_an_epoch_within_the_budget(shape, epoch):
    order = BatchOrder(**shape)
    lengths = np.array(shape["lengths"])
    batches = epoch_of(order, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.dtype == np.int64
        assert len(batch) > 0
        if shape["max_tokens"] is None:
            assert len(batch) <= shape["batch_size"]
        else:
            assert len(batch) == 1 or len(batch) * lengths[batch].max() <= shape["max_tokens"]
    if shape["max_tokens"] is None:
        assert len(batches) == -(-len(lengths) // shape["batch_size"])
        assert all(len(batch) == shape["batch_size"] for batch in batches[:-1])


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_cursor_alone(shape, cursors):
    walked = BatchOrder(**shape)
    for cursor in cursors:
        fresh = BatchOrder(**shape).batch_at(cursor)
        assert walked.batch_at(cursor).tolist() == fresh.tolist()


@pytest.mark.parametrize("max_tokens", [None, 2048])
@pytest.mark.parametrize("group_by_length", [False, True])
def test_epochs_and_seeds_differ(max_tokens, group_by_length):
    lengths = np.random.default_rng(0).integers(4, 200, 3000)
    shape = {"batch_size": 16, "max_tokens": max_tokens, "group_by_length": group_by_length}
    order, other = BatchOrder(lengths, seed=1, **shape), BatchOrder(lengths, seed=2, **shape)
    company = [{frozenset(batch.tolist()) for batch in epoch_of(order, epoch)} for epoch in (0, 1)]
    company.append({frozenset(batch.tolist()) for batch in epoch_of(other, 0)})
    for i, one in enumerate(company):
        for two in company[i + 1 :]:
            assert len(one & two) < len(one) / 20


@pytest.mark.parametrize(("max_tokens", "most"), [(None, 1.06), (4096, 1.06)])
def test_grouping_saves_padding(max_tokens, most):
    lengths = np.random.default_rng(0).gamma(2, 60, 20_000).astype(int).clip(4, 256)
    order = BatchOrder(lengths, seed=3, batch_size=32, max_tokens=max_tokens)
    padded = sum(len(batch) * lengths[batch].max() for batch in epoch_of(order, 0))
    assert padded / lengths.sum() < most


def test_all_positions_are_equally_likely():
    """A row of any length comes early as often as late, and meets others than its neighbours."""
    lengths = np.arange(1, 401)
    order = BatchOrder(lengths, seed=0, batch_size=8)
    where = np.zeros(400)
    for epoch in range(200):
        for number, batch in enumerate(epoch_of(order, epoch)):
            where[batch] += number
    mean = where / 200
    assert abs(mean.mean() - 24.5) < 0.01
    assert np.abs(mean - 24.5).max() < 24.5 * 0.25


def test_counts():
    order = BatchOrder([5] * 10, seed=0, batch_size=4)
    assert order.num_batches(0) == order.num_batches(7) == 3
    assert order.total_batches(2) == 6
    assert order.total_batches(0.5) == 2
    assert order.total_batches(0.0001) == 1
    assert order.total_batches(0.1 + 0.2) == 1
    assert order.epoch_at(0) == 0
    assert order.epoch_at(3) == 1
    assert order.epoch_at(4) == pytest.approx(4 / 3)


def test_batches_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        BatchOrder([5] * 10, seed=0, batch_size=4).batch_at(0)[0] = 1


@pytest.mark.parametrize("shape", [([], 1, None), ([3], 0, None), ([3], 1, 0)])
def test_impossible_shapes(shape):
    lengths, batch_size, max_tokens = shape
    with pytest.raises(ValueError, match="no batches"):
        BatchOrder(lengths, seed=0, batch_size=batch_size, max_tokens=max_tokens)


def test_golden_order():
    """The order may not change under a checkpoint: whoever changes these must raise `VERSION`."""
    lengths = (np.arange(500) * 37) % 91 + 4
    digests = {}
    for name, shape in {
        "random": {"group_by_length": False},
        "random tokens": {"group_by_length": False, "max_tokens": 512},
        "grouped": {},
        "grouped tokens": {"max_tokens": 512},
    }.items():
        order = BatchOrder(lengths, seed=42, batch_size=8, **shape)
        batches = [order.batch_at(cursor).tolist() for cursor in range(200)]
        digests[name] = hashlib.sha256(str(batches).encode()).hexdigest()[:12]
    assert BatchOrder.VERSION == 1
    assert digests == {
        "random": "d0b6788abb7a",
        "random tokens": "735d9c7d696c",
        "grouped": "a56d9633cff4",
        "grouped tokens": "64144c44f091",
    }


@pytest.mark.parametrize("max_tokens", [None, 8192])
def test_seek_is_quick(max_tokens):
    lengths = np.random.default_rng(0).integers(4, 256, 50_000)
    order = BatchOrder(lengths, seed=0, batch_size=32, max_tokens=max_tokens)
    times = []
    for epoch in range(3, 18):
        began = time.perf_counter()
        order.batch_at(epoch * order.num_batches() + 7)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.01
