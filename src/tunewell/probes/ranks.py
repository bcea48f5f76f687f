"""Whether all processes of a distributed training hold the same weights.

Digests go through the store that the processes met at, not through a collective operation: a process that
does not watch, or watches later, makes nobody wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import _get_default_store

from tunewell.probes.samples import evenly

_SAMPLE = 1_024
"""Numbers of each parameter that are digested; weights that drift apart do so everywhere."""


def digest(parameters: Mapping[str, nn.Parameter]) -> str | None:
    """Return the digest of a sample of all `parameters`; None where they are cut into shards, or there are none."""
    if not parameters or any(hasattr(parameter, "device_mesh") for parameter in parameters.values()):
        return None
    samples = [evenly(parameter.detach().reshape(-1), _SAMPLE).float() for parameter in parameters.values()]
    return hashlib.blake2b(torch.cat(samples).cpu().numpy().tobytes(), digest_size=8).hexdigest()


class Ranks:
    """The digests of all processes at one update after another."""

    def __init__(self, name: str = "watch") -> None:
        self.number = 0
        self._name = name

    def compared(self, own: Callable[[], str | None]) -> list[str] | None:
        """Tell the others this process's digest (`own` is asked for it), and return all processes' of the look before, by rank.

        They are those of the look before, since the others need not have come to this one yet. None: there is but
        one process, or one of them has not told its own.
        """
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() < 2:
            return None
        told = own()
        if told is None:
            return None
        store = _get_default_store()
        store.set(self._key(self.number, dist.get_rank()), told)
        before = [self._key(self.number - 1, rank) for rank in range(dist.get_world_size())]
        self.number += 1
        if self.number < 2 or not store.check(before):
            return None
        return [store.get(key).decode() for key in before]

    def _key(self, number: int, rank: int) -> str:
        return f"tunewell/{self._name}/{number}/{rank}"
