"""Two processes that train together: their weights are compared, and none waits for one that does not watch."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.optim import SGD

import tunewell
from tunewell.probes.ranks import Ranks, digest
from tunewell.records import Inspected


def _train(rank: int, store: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    watch = tunewell.watch(model, (optimizer := SGD(model.parameters(), 0.1)), folder=None, probe_steps=2)
    for number in range(8):
        if number >= 4 and rank == 1:
            with torch.no_grad():
                model.bias += 1e-3
        watch.loss(model(torch.ones(3, 4)).square().mean()).backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
        optimizer.step()
        optimizer.zero_grad()
        dist.barrier()
    told = [one.digests for one in watch.records if isinstance(one, Inspected)]
    Path(results, str(rank)).write_text(repr([digests and len(set(digests)) for digests in told]))
    watch.close()
    dist.destroy_process_group()


@pytest.mark.slow
def test_weights_of_two_processes_are_compared(tmp_path: Path) -> None:
    arguments = (str(tmp_path / "store"), str(tmp_path))
    multiprocessing.spawn(_train, args=arguments, nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    for rank in range(2):
        told = literal_eval((tmp_path / str(rank)).read_text())
        assert told[0] is None, "the first look has nothing to compare with"
        assert told[1:] == [1, 1, 1, 1, 2, 2, 2], "each look tells of the one before"


def test_one_process_has_nobody_to_compare_with() -> None:
    asked: list[int] = []
    assert Ranks().compared(lambda: str(asked.append(1))) is None
    assert not asked


def test_digests_tell_weights_apart() -> None:
    torch.manual_seed(0)
    model = nn.Linear(40, 40)
    first = digest(dict(model.named_parameters()))
    assert first == digest(dict(model.named_parameters()))
    with torch.no_grad():
        model.bias[0] += 1e-6
    assert first != digest(dict(model.named_parameters()))
    assert digest({}) is None
