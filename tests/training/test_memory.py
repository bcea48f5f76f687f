"""What counts as the end of memory, and what the process's own account says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunewell.training.memory import is_out_of_memory, peak_bytes, release, reset_peak, resident_bytes

MIB = 2**20
CPU = torch.device("cpu")


def test_the_allocators_own_errors_count() -> None:
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(10**15)
    with pytest.raises(MemoryError) as numpys:
        np.zeros(10**15)
    assert is_out_of_memory(torchs.value)
    assert is_out_of_memory(numpys.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_what_devices_say_counts(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("CUDA out of memory"),
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
    ],
)
def test_nothing_else_does(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_the_peak_is_of_the_time_since_its_reset() -> None:
    before = resident_bytes()
    block = np.ones(64 * MIB, dtype=np.uint8)
    grown = resident_bytes() - before
    del block
    assert 60 * MIB < grown < 80 * MIB
    assert peak_bytes() >= before + 60 * MIB
    release(CPU)
    reset_peak()
    assert peak_bytes() < before + 32 * MIB
