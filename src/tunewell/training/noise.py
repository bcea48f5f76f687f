"""Randomness as a function of position: no generator state is ever saved."""

from __future__ import annotations

import hashlib

import torch


def seed_noise(seed: int, step: int, cursor: int, rank: int = 0) -> None:
    """Seed torch's generators for the update that follows `step`, at `cursor` of the order, on process `rank`."""
    digest = hashlib.blake2b(f"{seed} {step} {cursor} {rank}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)
