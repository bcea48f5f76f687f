"""Memory: whether an error is its end, how much of it this process holds and held at most."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "MPS backend out of memory",
    "XPU out of memory",
)
"""What a plain `RuntimeError` says where an allocator had no more to give: PyTorch's, cuBLAS's and cuDNN's words."""

_STATUS = Path("/proc/self/status")
_CLEAR_REFERENCES = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` says that memory ran out, on the processor or on a device; nothing else counts."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more: Python's cycles, and the device's cached blocks."""
    gc.collect()
    match device.type:
        case "cuda":
            torch.cuda.empty_cache()
        case "mps":
            torch.mps.empty_cache()
        case "xpu":
            torch.xpu.empty_cache()


def held_bytes(device: torch.device) -> int:
    """Return how many bytes are in use now: of a CUDA device by tensors, else this process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return resident_bytes()


def resident_bytes() -> int:
    """Return this process's resident memory in bytes; the most it ever was where the system tells only that."""
    return _status("VmRSS") or _most_ever()


def peak_bytes(device: torch.device | None = None) -> int:
    """Return the most bytes that were in use since `reset_peak`: of a CUDA `device`, else of this process.

    Where the peak can't be reset (elsewhere than on Linux) it is the most since the process began.
    """
    if device is not None and device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM") or _most_ever()


def reset_peak(device: torch.device | None = None) -> None:
    """Begin to watch for a new peak."""
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # not there, or not allowed
        _CLEAR_REFERENCES.write_text(_RESET_PEAK)


def _status(field: str) -> int:
    """Return a size from Linux's account of this process in bytes, or 0 where there is none."""
    if not _STATUS.is_file():
        return 0
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return next((int(words[1]) * 1024 for words in lines if words and words[0] == f"{field}:"), 0)


def _most_ever() -> int:
    if sys.platform == "win32":  # Python's own library does not ask Windows
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
